"""The configuration of the daemon: a file for each of its parts, put together in `edge.config.daemon`."""

from edge.config.cameras import LOOKS, CameraConfig, Detector, FullFrame, Locate, Motion, Slot, Slots
from edge.config.daemon import DaemonConfig, json_schema, load_daemon_config
from edge.config.engine import MAX_THREADS, EngineConfig
from edge.config.feedback import AcceptErrorRule, AccuracyRule, FeedbackConfig, UnknownRateRule
from edge.config.keys import KeysConfig
from edge.config.sockets import MetricsConfig, OutboxConfig, PublishConfig

__all__ = [
    "LOOKS",
    "MAX_THREADS",
    "AcceptErrorRule",
    "AccuracyRule",
    "CameraConfig",
    "DaemonConfig",
    "Detector",
    "EngineConfig",
    "FeedbackConfig",
    "FullFrame",
    "KeysConfig",
    "Locate",
    "MetricsConfig",
    "Motion",
    "OutboxConfig",
    "PublishConfig",
    "Slot",
    "Slots",
    "UnknownRateRule",
    "json_schema",
    "load_daemon_config",
]
