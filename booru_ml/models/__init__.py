from booru_ml.models.backfills import Backfill
from booru_ml.models.jobs import AnalysisJob, Queue
from booru_ml.models.registry import ModelVersion, Promotion, Shadow, ShadowLook
from booru_ml.models.workers import Worker

__all__ = ["AnalysisJob", "Backfill", "ModelVersion", "Promotion", "Queue", "Shadow", "ShadowLook", "Worker"]
