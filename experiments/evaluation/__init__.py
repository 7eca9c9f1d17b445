"""Evaluates methods on episodes, compares precisions, predicts: what a notebook imports.

from experiments.evaluation import EvaluateConfig, evaluate
evaluate(EvaluateConfig(checkpoint='runs/shapes-fold0-1shot-tiny')).figures['miou']
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.evaluation.config import EvaluateConfig, PrecisionConfig, PredictConfig
  from experiments.evaluation.counting import Evaluation
  from experiments.evaluation.evaluating import Report, evaluate
  from experiments.evaluation.methods import METHODS, Method
  from experiments.evaluation.precisions import Comparison, compare_precisions
  from experiments.evaluation.predicting import predict
  from experiments.evaluation.protocols.side_by_side import evaluate_protocols

__all__ = [
  'METHODS',
  'Comparison',
  'EvaluateConfig',
  'Evaluation',
  'Method',
  'PrecisionConfig',
  'PredictConfig',
  'Report',
  'compare_precisions',
  'evaluate',
  'evaluate_protocols',
  'predict',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.config': ('EvaluateConfig', 'PrecisionConfig', 'PredictConfig'),
    '.counting': ('Evaluation',),
    '.evaluating': ('Report', 'evaluate'),
    '.methods': ('METHODS', 'Method'),
    '.precisions': ('Comparison', 'compare_precisions'),
    '.predicting': ('predict',),
    '.protocols.side_by_side': ('evaluate_protocols',),
  },
)
