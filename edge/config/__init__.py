"""The configuration of the daemon: a file for each of its parts, put together in `edge.config.daemon`."""

from edge.config.cameras import LOOKS, CameraConfig, Detector, FullFrame, Locate, Motion, Slot, Slots
from edge.config.daemon import DaemonConfig, json_schema, load_daemon_config
from edge.config.degrade import DegradeConfig
from edge.config.engine import MAX_THREADS, EngineConfig, SelfTestConfig
from edge.config.feedback import (
    AcceptErrorRule,
    AccuracyFloor,
    AccuracyRule,
    FeedbackConfig,
    TierFloors,
    UnknownRateRule,
)
from edge.config.keys import KeysConfig
from edge.config.log import LogConfig
from edge.config.sockets import MetricsConfig, OutboxConfig, PublishConfig

__all__ = [
    "DegradeConfig",
    "LOOKS",
    "MAX_THREADS",
    "AcceptErrorRule",
    "AccuracyFloor",
    "AccuracyRule",
    "CameraConfig",
    "DaemonConfig",
    "Detector",
    "EngineConfig",
    "FeedbackConfig",
    "FullFrame",
    "KeysConfig",
    "Locate",
    "LogConfig",
    "MetricsConfig",
    "Motion",
    "OutboxConfig",
    "PublishConfig",
    "SelfTestConfig",
    "Slot",
    "Slots",
    "TierFloors",
    "UnknownRateRule",
    "json_schema",
    "load_daemon_config",
]
