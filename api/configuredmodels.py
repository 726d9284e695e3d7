"""Which models `models.config` names, where this process can read it: the one-machine stack's, or the operator's."""

from __future__ import annotations

from core.settings import Settings
from core.telemetry.logs import get_logger
from serving.protos.config_pb2 import ModelServerConfig
from serving.textformat import TextFormatError, parse_text

_log = get_logger(__name__)


def configured_models(settings: Settings) -> list[str]:
    """Names in the order of the file; none where there is no such file."""
    path = settings.models.config or settings.data.data_dir / "models.config"
    try:
        config = parse_text(path.read_text(encoding="utf-8"), ModelServerConfig())
    except OSError:
        return []
    except (TextFormatError, UnicodeDecodeError) as error:
        _log.warning("models_config_unreadable", file=str(path), error=str(error))
        return []
    return [each.name for each in config.model_config_list.config]
