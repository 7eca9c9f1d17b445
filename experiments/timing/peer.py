"""Computes HSNet in PyTorch, in the plain formulation, to measure the library against.

Every product and convolution is PyTorch's own, over whole tensors: the 4D tensor of each level is
computed, permuted so that two of its dimensions lie in front, and convolved in 2D, as the paper
describes it (Fig. 4c). Weights are those of a published state dict, by their names there. Images
are NCHW and normalized; a 4D tensor is `[B, C, Hq, Wq, Hs, Ws]`.

PyTorch is imported where a function of this module is called: it is no requirement.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hsnet_jax.encoder import MIXING_WIDTHS, mixing, squeezing

# Blocks of stages 2 to 4, whose outputs before their last ReLU are the features.
STAGES = {'resnet50': (3, 4, 6, 3), 'resnet101': (3, 4, 23, 3)}
MOBILENET = 'mobilenet_v1_075'
BACKBONES = (*STAGES, MOBILENET)
_GROUPS = 4

State = Mapping[str, Any]


def forward(
  state: State, query: Any, support: Any, support_mask: Any, *, backbone: str, levels: Sequence[int]
) -> Any:
  """Segments queries by one support image each.

  Args:
    state: {published name without `module.`: tensor}.
    query: normalized images, a tensor [B, 3, H, W].
    support: likewise.
    support_mask: float [B, H, W].
    backbone: of `BACKBONES`.
    levels: how many maps each level has, finest first.

  Returns:
    Logits [B, 2, H, W].
  """
  import torch

  with torch.no_grad():
    query_maps = features(state, query, backbone)
    support_maps = masked(features(state, support, backbone), support_mask)
    pyramid = correlations(query_maps, support_maps, levels)
  return head(state, pyramid, query.shape[-2:])


def features(state: State, images: Any, backbone: str) -> list[Any]:
  """Computes the maps of a frozen backbone, finest first, [B, C, h, w] each."""
  if backbone == MOBILENET:
    return _mobilenet(state, images)
  return _resnet(state, images, backbone)


def _mobilenet(state: State, images: Any) -> list[Any]:
  """Computes the outputs of MobileNetV1's blocks 4 to 13, padded as TensorFlow pads."""
  import torch.nn.functional as F

  def layer(x, name, *, stride=1, groups=1):
    kernel, norm = state[f'backbone.{name}.weight'], f'backbone.{name}_bn'
    rows, columns = (
      max((-(-n // stride) - 1) * stride + k - n, 0)
      for n, k in zip(x.shape[-2:], kernel.shape[-2:], strict=True)
    )
    pads = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    x = F.conv2d(F.pad(x, pads), kernel, stride=stride, groups=groups)
    mean, var = state[f'{norm}.running_mean'], state[f'{norm}.running_var']
    return F.batch_norm(x, mean, var, state[f'{norm}.weight'], state[f'{norm}.bias'], eps=1e-3)

  x, found = F.relu6(layer(images, 'conv1', stride=2)), []
  for block in range(1, 14):
    stride = 2 if block in (2, 4, 6, 12) else 1
    x = F.relu6(layer(x, f'conv_dw_{block}', stride=stride, groups=x.shape[1]))
    y = layer(x, f'conv_pw_{block}')
    if block >= 4:
      found.append(y)
    x = F.relu6(y)
  return found


def _resnet(state: State, images: Any, backbone: str) -> list[Any]:
  """Computes the outputs of a ResNet's bottlenecks from stage 2 on, before their ReLUs."""
  import torch
  import torch.nn.functional as F

  def norm(x, name):
    mean, var = state[f'{name}.running_mean'], state[f'{name}.running_var']
    return F.batch_norm(x, mean, var, state[f'{name}.weight'], state[f'{name}.bias'])

  def conv(x, name, **options):
    return F.conv2d(x, state[f'{name}.weight'], **options)

  x = torch.relu(norm(conv(images, 'backbone.conv1', stride=2, padding=3), 'backbone.bn1'))
  x = F.max_pool2d(x, 3, stride=2, padding=1)
  found = []
  for stage, count in enumerate(STAGES[backbone], 1):
    for block in range(count):
      at = f'backbone.layer{stage}.{block}'
      stride = 2 if stage > 1 and block == 0 else 1
      y = torch.relu(norm(conv(x, f'{at}.conv1'), f'{at}.bn1'))
      y = torch.relu(norm(conv(y, f'{at}.conv2', stride=stride, padding=1), f'{at}.bn2'))
      y = norm(conv(y, f'{at}.conv3'), f'{at}.bn3')
      if block == 0:
        x = norm(conv(x, f'{at}.downsample.0', stride=stride), f'{at}.downsample.1')
      y = y + x
      if stage > 1:
        found.append(y)
      x = torch.relu(y)
  return found


def masked(maps: Sequence[Any], mask: Any) -> list[Any]:
  """Multiplies support maps with the mask at their size (Eq. 1)."""
  return [f * _resized(mask[:, None], f.shape[-2:]) for f in maps]


def correlations(
  query_maps: Sequence[Any], support_maps: Sequence[Any], levels: Sequence[int]
) -> list[Any]:
  """Computes the hypercorrelation (Eq. 2), coarsest level first."""
  import torch

  found = []
  for query, support in zip(query_maps, support_maps, strict=True):
    (b, c, hq, wq), (hs, ws) = query.shape, support.shape[-2:]
    q, s = query.reshape(b, c, -1), support.reshape(b, c, -1)
    q, s = (x / (x.norm(dim=1, keepdim=True) + 1e-5) for x in (q, s))
    found.append(torch.bmm(q.transpose(1, 2), s).clamp(min=0).reshape(b, hq, wq, hs, ws))
  pyramid, start = [], 0
  for count in levels:
    pyramid.append(torch.stack(found[start : start + count], dim=1))
    start += count
  return pyramid[::-1]


def head(state: State, pyramid: Sequence[Any], size: Sequence[int]) -> Any:
  """Squeezes, mixes and decodes a hypercorrelation to logits [B, 2, *size]."""
  import torch
  import torch.nn.functional as F

  blocks = squeezing(len(pyramid))
  squeezed = [
    _block(state, _published(name), level, kernels, strides)
    for (name, kernels, strides), level in zip(blocks, pyramid, strict=True)
  ]
  x = squeezed[0]
  for name, finer in zip(mixing(len(pyramid)), squeezed[1:], strict=True):
    b, c, hq, wq, hs, ws = x.shape
    flat = x.permute(0, 4, 5, 1, 2, 3).reshape(b * hs * ws, c, hq, wq)
    flat = _resized(flat, finer.shape[2:4])
    x = flat.reshape(b, hs, ws, c, *finer.shape[2:4]).permute(0, 3, 4, 5, 1, 2) + finer
    ones = (1,) * len(MIXING_WIDTHS)
    x = _block(state, _published(name), x, (3,) * len(MIXING_WIDTHS), ones)
  x = x.mean(dim=(-2, -1))

  def conv(x, name):
    at = f'hpn_learner.{name}'
    return F.conv2d(x, state[f'{at}.weight'], state[f'{at}.bias'], padding=1)

  x = torch.relu(conv(torch.relu(conv(x, 'decoder1.0')), 'decoder1.2'))
  x = _resized(x, [2 * n for n in x.shape[-2:]])
  x = conv(torch.relu(conv(x, 'decoder2.0')), 'decoder2.2')
  return _resized(x, size)


def _published(block: str) -> str:
  return 'hpn_learner.' + block.replace('squeeze', 'encoder_layer').replace('mix', 'encoder_layer')


def _block(state: State, name: str, x: Any, kernels: Sequence[int], strides: Sequence[int]) -> Any:
  """Applies the layers of a block: center-pivot convolution, group norm, ReLU."""
  import torch
  import torch.nn.functional as F

  for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
    x = _center_pivot(state, f'{name}.{3 * i}', x, kernel // 2, stride)
    norm = f'{name}.{3 * i + 1}'
    x = torch.relu(F.group_norm(x, _GROUPS, state[f'{norm}.weight'], state[f'{norm}.bias']))
  return x


def _center_pivot(state: State, name: str, x: Any, padding: int, stride: int) -> Any:
  """Convolves over the query at the strided support positions, and over the support (Eq. 4)."""
  import torch.nn.functional as F

  def conv(y, number, stride):
    at = f'{name}.conv{number}'
    kernel, bias = state[f'{at}.weight'], state[f'{at}.bias']
    return F.conv2d(y, kernel, bias, stride=stride, padding=padding)

  b, c, hq, wq, hs, ws = x.shape
  strided = x[..., ::stride, ::stride]
  h2, w2 = strided.shape[-2:]
  y = conv(strided.permute(0, 4, 5, 1, 2, 3).reshape(b * h2 * w2, c, hq, wq), 1, 1)
  y = y.reshape(b, h2, w2, -1, hq, wq).permute(0, 3, 4, 5, 1, 2)
  z = conv(x.permute(0, 2, 3, 1, 4, 5).reshape(b * hq * wq, c, hs, ws), 2, stride)
  return y + z.reshape(b, hq, wq, -1, h2, w2).permute(0, 3, 1, 2, 4, 5)


def _resized(x: Any, size: Sequence[int]) -> Any:
  import torch.nn.functional as F

  return F.interpolate(x, tuple(size), mode='bilinear', align_corners=True)
