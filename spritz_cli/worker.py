"""The name by which jobs that were queued before 0.2 call their function."""

from spritz_cli.runs.worker import generate_video_job

__all__ = ["generate_video_job"]
