from booru_ml.models.jobs import AnalysisJob
from booru_ml.models.registry import ModelVersion
from booru_ml.models.workers import Worker

__all__ = ["AnalysisJob", "ModelVersion", "Worker"]
