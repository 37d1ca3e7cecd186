from booru_ml.models.jobs import AnalysisJob
from booru_ml.models.registry import ModelVersion

__all__ = ["AnalysisJob", "ModelVersion"]
