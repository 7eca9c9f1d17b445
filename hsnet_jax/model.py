"""Defines HSNet: `(query, support, support mask) -> logits` (Fig. 2)."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import PrecisionLike
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Shaped

from hsnet_jax.backbones.backbone import Backbone, Weights, takes_keyword
from hsnet_jax.backbones.table import get_backbone
from hsnet_jax.correlation import mask_features, normalize_features, pyramid_levels
from hsnet_jax.decoder import Decoder, Prior
from hsnet_jax.encoder import Encoder
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import PUBLISHED, Head
from hsnet_jax.extensions.masking import hybrid_features, subtract_background
from hsnet_jax.extensions.prior import both_prototypes, prototype_cosines
from hsnet_jax.resize import map_size, resize_bilinear

Features = tuple[Float[Array, 'B _h _w _c'], ...]


class HSNet(nn.Module):
  """Segments queries by supports: the Hypercorrelation Squeeze Network.

  Its variables are `{'params': the learnable ones, 'backbone': the frozen ones}`. Linen's `init`
  draws both, the backbone's weights too, and so gives the shapes and nothing to train on: training
  starts from `create_train_state(key, model=model, backbone=load_backbone(name))`.

  Attributes:
    backbone: a name in `hsnet_jax.BACKBONES`, or a `hsnet_jax.Backbone` of your own.
    mask_support: whether support features are masked (Eq. 1); without it, the paper's dagger
      variant.
    precision: of all products and convolutions, the backbone's among them.
    dtype: what the backbone, the correlation and the 4D convolutions compute in, such as bfloat16;
      None for what the images have. Parameters, norms, the decoder and the logits are float32.
    implementation: 'auto', each kernel in the form that `hsnet_jax.kernels.forms` says for shape
      and platform; 'portable', for no platform in particular and batches of any size, which
      `hsnet_jax.export` writes; or 'plain', XLA's own convolutions everywhere, the oracle of the
      others.
    head: what the head has beyond the published one; nothing by default.
    presence_threshold: how like the object, as a cosine, must be what is found in a picture, for
      `hsnet_jax.inference` to mark anything (`extensions.presence`); None for whatever is found, as
      published.
  """

  backbone: str | Backbone = 'resnet50'
  mask_support: bool = dataclasses.field(default=True, kw_only=True)
  precision: PrecisionLike = dataclasses.field(default='highest', kw_only=True)
  dtype: DTypeLike | None = dataclasses.field(default=None, kw_only=True)
  implementation: str = dataclasses.field(default='auto', kw_only=True)
  head: Head = dataclasses.field(default=PUBLISHED, kw_only=True)
  presence_threshold: float | None = dataclasses.field(default=None, kw_only=True)

  @property
  def pools(self) -> bool:
    """Returns whether supports are pooled beside what is correlated."""
    return self.head.prior or self.presence_threshold is not None

  def setup(self):
    """Builds the two learnable parts.

    Raises:
      InputError: the head says how supports are masked, and they are not masked at all.
    """
    for name in ('hybrid_masking', 'background_correlation'):
      if getattr(self.head, name) and not self.mask_support:
        raise InputError(f'`{name}` needs `mask_support`, which is off; leave `{name}` out')
    self.encoder = Encoder(precision=self.precision, implementation=self.implementation)
    self.decoder = Decoder(precision=self.precision, implementation=self.implementation)

  def __call__(
    self,
    query: Float[Array, 'B H W 3'],
    support: Float[Array, 'B Hs Ws 3'],
    support_mask: Shaped[Array | np.ndarray, 'B Hm Wm'],
    *,
    output_size: tuple[int, int] | None = None,
  ) -> Float[Array, 'B H2 W2 2']:
    """Segments queries by one support image each.

    Args:
      query: normalized query images.
      support: normalized support images; of the query's size, both go through the backbone as
        one batch.
      support_mask: 1 where the support shows the class, else 0, in numbers of any kind or bool.
      output_size: `(height, width)` of the logits; without it, the query's.

    Returns:
      Logits; channel 1 is the foreground.

    Raises:
      InputError: the backbone cannot take images of this size, as VGG-16 at some.
    """
    support = self.head.support_images(support, support_mask)
    if query.shape[1:] == support.shape[1:]:
      count = query.shape[0]
      both = self.encode(jnp.concatenate([query, support]))
      query_features = tuple(f[:count] for f in both)
      support_features = tuple(f[count:] for f in both)
    else:
      query_features, support_features = self.encode(query), self.encode(support)
    support_features = self.head.support_features(support_features)
    size = map_size(query) if output_size is None else output_size
    return self.match(query_features, support_features, support_mask, output_size=size)

  def encode(self, images: Float[Array, 'B H W 3']) -> Features:
    """Computes backbone features.

    Args:
      images: normalized by the backbone's mean and standard deviation, as `normalize` does.

    Returns:
      The backbone's maps, finest first.

    Raises:
      InputError: images are so small that a map is empty, as VGG-16's below 32 pixels; or the
        backbone does not do what its description says.
    """
    spec = get_backbone(self.backbone)
    images = images.astype(self.dtype or images.dtype)
    apply = functools.partial(spec.apply, precision=self.precision)
    if self.implementation != 'auto' and takes_keyword(spec.apply, 'implementation'):
      apply = functools.partial(apply, implementation=self.implementation)
    features = tuple(apply(self._weights(spec), images))
    _check_maps(spec, features, map_size(images))
    return features

  def _weights(self, spec: Backbone) -> Weights:
    """Returns the backbone's weights; draws them where the variables are initialized."""
    if self.is_initializing():
      drawn = spec.init(self.make_rng('params'))
      if not isinstance(drawn, Mapping):
        raise InputError(
          f'{spec.name}: its `init` gives a {type(drawn).__name__}; weights are a dictionary'
        )
      for name, weights in drawn.items():
        self.put_variable('backbone', name, weights)
    elif 'backbone' not in self.variables and jax.eval_shape(spec.init, jax.random.key(0)):
      raise InputError(
        f"the variables hold no weights of {spec.name}: give {{'params': ..., 'backbone': ...}}"
      )
    return dict(self.variables.get('backbone', {}))

  def mask_support_features(
    self, support_features: Features, support_mask: Shaped[Array | np.ndarray, 'B Hm Wm']
  ) -> Features:
    """Masks support features (Eq. 1) and divides them by their norm (Eq. 2), once for any queries.

    Args:
      support_features: from `encode`; by hybrid masking from `Head.support_features`.
      support_mask: the supports' masks, of any size.

    Returns:
      What `match_masked` takes.
    """
    maps = sum(get_backbone(self.backbone).levels)
    whole = masked = support_features[:maps]
    if self.head.hybrid_masking:
      masked = hybrid_features(whole, support_features[maps:], support_mask)
    elif self.mask_support:
      masked = mask_features(whole, support_mask)
    masked = tuple(normalize_features(f) for f in masked)
    if self.head.background_correlation:
      masked = subtract_background(masked, whole, support_mask)
    return masked

  def pool_support_features(
    self, support_features: Features, support_mask: Shaped[Array | np.ndarray, 'B Hm Wm']
  ) -> tuple[Float[Array, 'B 2 _c'], ...]:
    """Pools support features for a head with a prior, or a test of presence, once for any queries.

    Args:
      support_features: as for `mask_support_features`; masked pictures are not pooled.
      support_mask: the supports' masks, of any size.

    Returns:
      `extensions.prior.both_prototypes` of the maps that are correlated; nothing with neither.
    """
    if not self.pools:
      return ()
    levels = get_backbone(self.backbone).levels
    whole = support_features[: sum(levels)]
    return both_prototypes(self.head.matched(whole, levels), support_mask)

  def match(
    self,
    query_features: Features,
    support_features: Features,
    support_mask: Shaped[Array | np.ndarray, 'B Hm Wm'],
    *,
    output_size: tuple[int, int] | None = None,
  ) -> Float[Array, 'B H2 W2 2']:
    """Segments queries from features.

    Args:
      query_features: from `encode`.
      support_features: likewise, as many images; by hybrid masking from `Head.support_features`.
      support_mask: the supports' masks, of any size.
      output_size: `(height, width)` of the logits; without it, the decoder's own: twice the finest
        map that is correlated, or that of the maps that skip.

    Returns:
      Logits; channel 1 is the foreground.

    Raises:
      InputError: the backbone cannot take supports of this size, as VGG-16 at some.
    """
    masked = self.mask_support_features(support_features, support_mask)
    pooled = self.pool_support_features(support_features, support_mask)
    return self.match_masked(query_features, masked, prototypes=pooled, output_size=output_size)

  def match_masked(
    self,
    query_features: Features,
    masked_features: Features,
    *,
    prototypes: tuple[Float[Array, 'B 2 _c'], ...] = (),
    output_size: tuple[int, int] | None = None,
  ) -> Float[Array, 'B H2 W2 2']:
    """Segments queries by supports that are masked and normalized already.

    Args:
      query_features: from `encode`.
      masked_features: from `mask_support_features`, as many images.
      prototypes: from `pool_support_features`, of the same images.
      output_size: as for `match`.

    Returns:
      Logits; channel 1 is the foreground.

    Raises:
      InputError: the backbone cannot take supports of this size, as VGG-16 at some.
    """
    spec, head = get_backbone(self.backbone), self.head
    levels = head.correlated(spec.levels)
    matched = head.matched(query_features, spec.levels)
    pyramid: tuple = pyramid_levels(
      matched, head.matched(masked_features, spec.levels), levels=levels, normalized=True
    )
    if not self.mask_support:  # Without zeros there is nothing to leave out.
      pyramid = tuple(level.correlate(precision=self.precision) for level in pyramid)
    try:
      context = self.encoder(pyramid)
    except InputError as error:
      # Not the mask's size, which may be any: the finest map's.
      height, width = (spec.stride * n for n in masked_features[0].shape[1:3])
      raise InputError(
        f'{spec.name} cannot take support images of about {height} x {width} pixels: {error}'
      ) from None
    prior = Prior(prototype_cosines(matched, prototypes), levels) if head.prior else None
    logits = self.decoder(
      context.astype(np.promote_types(context.dtype, np.float32)),
      prior=prior,
      skipped=head.skipped(query_features, spec.levels),
    )
    if output_size is None:
      return logits
    return resize_bilinear(logits, output_size, precision=self.precision)


def fold_backbone(variables: Mapping[str, Any], *, backbone: str | Backbone) -> dict[str, Any]:
  """Makes variables to segment with, whose backbone does the same with less work on each image.

  A norm's scale goes into the kernel before it once, in place of once a call: of ResNet-50 94 MB.
  They are for `HSNet.apply`; checkpoints and conversion take the original ones.

  Args:
    variables: {'params', 'backbone'}, either may be missing.
    backbone: of the network, a name or the row itself.

  Returns:
    The same parameters, and the weights that the backbone's `fold` gives; as they were where it
    has none, or has been at them already.
  """
  fold = get_backbone(backbone).fold
  if fold is None or 'backbone' not in variables:
    return dict(variables)
  weights = jax.device_put(dict(variables['backbone']))
  return {**variables, 'backbone': jax.jit(fold)(weights)}


def _check_maps(spec: Backbone, features: Features, image_size: tuple[int, int]) -> None:
  """Raises InputError unless a backbone's maps are those that its description announces."""
  if len(features) != sum(spec.levels):
    raise InputError(
      f'{spec.name}: its `apply` gives {len(features)} feature maps, but its `levels` are '
      f'{spec.levels}, {sum(spec.levels)} in all'
    )
  maps = iter(features)
  for level, count in enumerate(spec.levels, 1):
    sizes = [map_size(f) for f in itertools.islice(maps, count)]
    if len(set(sizes)) > 1:
      raise InputError(
        f'{spec.name}: the maps of a level have one size, but level {level} of its `levels` '
        f'{spec.levels}, finest first, has {", ".join(f"{h} x {w}" for h, w in sizes)}'
      )
  if any(0 in map_size(f) for f in features):
    height, width = image_size
    raise InputError(
      f'{spec.name} cannot take images of {height} x {width} pixels, of which its coarsest '
      'features are empty; choose at least 32 x 32'
    )
