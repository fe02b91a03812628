"""The environment: defaults, and every error at once."""

from __future__ import annotations

import pytest

from tunebird.config import Address, Config, ConfigError


def test_empty_environment_gives_the_documented_defaults() -> None:
    config = Config.from_env({})
    assert config.watch_namespaces == ()
    assert config.namespace == "tunebird-system"
    assert config.report_listen == Address("0.0.0.0", 8082)
    assert config.http_listen == Address("0.0.0.0", 8080)
    assert config.trainer_image.startswith("tunebird/trainer:")
    assert (config.report_url, config.allow_file_uris, config.resync_seconds) == ("", False, 60.0)


def test_everything_that_is_wrong_is_told_at_once_with_its_remedy() -> None:
    wrong = {
        "TUNEBIRD_WATCH_NAMESPACES": "ml,Not_A_Namespace",
        "TUNEBIRD_REPORT_URL": "operator:8082",
        "TUNEBIRD_HTTP_LISTEN": "8080",
        "TUNEBIRD_ALLOW_FILE_URIS": "yes",
        "TUNEBIRD_LOG_FORMAT": "xml",
        "TUNEBIRD_RESYNC": "1",
        "TUNEBIRD_TRAINER_IMAGE": "two words",
    }
    with pytest.raises(ConfigError) as caught:
        Config.from_env(wrong)
    assert len(caught.value.errors) == len(wrong)
    for name, value in wrong.items():
        assert any(error.startswith(f"{name}={value}: ") for error in caught.value.errors)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", None), ("1s", 1.0), ("5m", 300.0), ("1h", 3600.0), ("2h", None)]
)
def test_resync_is_between_a_second_and_an_hour(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(ConfigError, match="between 1s and 1h"):
            Config.from_env({"TUNEBIRD_RESYNC": text})
    else:
        assert Config.from_env({"TUNEBIRD_RESYNC": text}).resync_seconds == seconds


def test_namespaces_are_a_sorted_set() -> None:
    assert Config.from_env({"TUNEBIRD_WATCH_NAMESPACES": " prod, ml ,prod,"}).watch_namespaces == ("ml", "prod")


def test_ipv6_address_is_read_without_its_brackets() -> None:
    assert Config.from_env({"TUNEBIRD_HTTP_LISTEN": "[::]:9090"}).http_listen == Address("::", 9090)


def test_identity_is_kept_by_a_restarted_container_and_new_for_each_process_elsewhere() -> None:
    pod = {"HOSTNAME": "tunebird-7d", "POD_UID": "u-1"}
    assert Config.from_env(pod).identity == Config.from_env(pod).identity == "tunebird-7d_u-1"
    host = {"HOSTNAME": "laptop"}
    assert Config.from_env(host).identity != Config.from_env(host).identity
