"""Keeps kernels with gradients or loops of their own right inside of `shard_map`."""

from typing import Any

import jax
from jax import lax
from jaxtyping import Array


def varying_axes(x: Array) -> frozenset[str]:
  """Finds the mesh axes over which a value differs in `shard_map`; jax renamed the attribute.

  Args:
    x: any array.

  Returns:
    The axes' names; none outside of `shard_map`.
  """
  aval = jax.typeof(x)
  if hasattr(aval, 'manual_axis_type'):
    return aval.manual_axis_type.varying
  return getattr(aval, 'vma', frozenset())


def sum_replicated(gradient: Array, primal: Array) -> Array:
  """Sums a cotangent over the mesh axes on which its primal is replicated.

  Args:
    gradient: the cotangent.
    primal: what it is of.

  Returns:
    The cotangent as the primal lies on the mesh.
  """
  axes = tuple(varying_axes(gradient) - varying_axes(primal))
  return lax.psum(gradient, axes) if axes else gradient


def vary_with(x: Array, *others: Any) -> Array:
  """Marks what a loop starts from as differing where what it will hold differs.

  Args:
    x: what the loop starts from.
    others: trees of what goes into the loop.

  Returns:
    The same values.
  """
  leaves = jax.tree.leaves(others)
  axes = frozenset().union(*map(varying_axes, leaves)) - varying_axes(x)
  if not axes:
    return x
  return lax.pcast(x, tuple(axes), to='varying')
