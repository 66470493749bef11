"""What decides about integrations, without a service: answers, setups, metadata, transformations."""

import datetime as dt
from typing import Any

import pytest

from mentha.cli import config_text
from mentha.core import config
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import SERVICES, answers, cloudinary_terms, files, setup
from mentha.tools.integrations.overrides import overridden
from mentha.tools.outbound.calls import OutboundResponse
from mentha.wire.integrations import PROVIDERS
from mentha.workflow import policy


def test_every_method_of_every_provider_is_served() -> None:
    listed = {name: list(provider.methods) for name, provider in PROVIDERS.items()}
    assert {name: list(methods) for name, methods in SERVICES.items()} == {name: listed[name] for name in SERVICES}
    assert set(SERVICES) == set(listed)


NOW = dt.datetime(2026, 1, 1, 12, 0, 0, tzinfo=dt.UTC)


def response(body: bytes = b"", **headers: str) -> OutboundResponse:
    given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return OutboundResponse(status=400, headers=given, body=body, url="http://x", redirects=0)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("Thu, 01 Jan 2026 12:00:30", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_time_to_come_again_is_read_as_seconds_or_as_a_date(told: str, seconds: float | None) -> None:
    assert answers.retry_after_s(response(retry_after=told), NOW) == seconds
    assert answers.retry_after_s(response(), NOW) is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"message":"no\\n\\nkey"}', "no key"),
        (b'{"error":{"message":"quota"}}', "quota"),
        (b'{"errors":[{"detail":"bad"}]}', "bad"),
        (b'{"error":"invalid_grant","error_description":"old"}', "old"),
        (b'{"error":{"error":{"error":{"error":{"error":"deep"}}}}}', ""),
        (b'{"message":7}', ""),
        (b"<html>no</html>", ""),
        (b"[]", ""),
    ],
)
def test_message_of_a_service_is_found_wherever_services_put_it(body: bytes, said: str) -> None:
    assert answers.message_of(response(body)) == said
    assert answers.message_of(response(b"Forbidden", content_type="text/plain; charset=utf-8")) == "Forbidden"


def test_keys_in_the_environment_join_the_setups_of_integrations_and_are_masked() -> None:
    environ = {"BRAVE_API_KEY": "from-env", "MENTHA_INTEGRATION_SETUPS": '{"spider": {"spider_api_key": "k"}, "brave": {"x": "y"}}'}
    settings = config.load(environ=environ)
    assert settings.integration_setups["brave"]["brave_api_key"].get_secret_value() == "from-env"
    assert "from-env" not in repr(settings)
    assert "from-env" not in config_text.dump(settings)
    own = config.load(environ=environ, flags={"integration_setups": {"brave": {"brave_api_key": "from-flags"}}})
    assert own.integration_setups["brave"]["brave_api_key"].get_secret_value() == "from-flags"


def test_setup_is_completed_from_secrets_and_settings_with_numbers_where_they_belong() -> None:
    own = {"host": "mail.example.com", "port": "587", "user": "ann", "password": "hidden-password"}
    settings = config.load(environ={}, flags={"integration_setups": {"email": own}})
    ready = setup.complete("email", {}, {}, settings)
    assert ready.setup == {**own, "port": 587}
    assert "hidden-password" in ready.hidden
    with pytest.raises(ToolFailed, match="`port`"):
        setup.complete("email", {"host": "mail.example.org"}, {}, settings)
    with pytest.raises(ToolFailed, match="BRAVE_API_KEY"):
        setup.complete("brave", {}, {"OTHER": "x"}, settings)


def test_metadata_changes_only_integrations_of_that_name_and_leaves_the_tools_themselves_alone() -> None:
    brave: Any = {"name": "find", "type": "integration", "integration": {"provider": "brave", "arguments": {"count": 5, "query": "a"}}}
    other: Any = {"name": "call", "type": "function", "function": {}}
    agent = {"x-integrations-args": {"find": {"count": 3, "colour": "red", "query": None}, "call": {"a": 1}}}
    session = {"x-integrations-args": {"find": {"count": 2}}, "x-integrations-setup": {"find": {"brave_api_key": "k"}}}
    changed, same = overridden([brave, other], [agent, None, session])
    assert changed["integration"] == {"provider": "brave", "arguments": {"count": 2, "query": "a"}, "setup": {"brave_api_key": "k"}}
    assert same is other
    assert brave["integration"]["arguments"] == {"count": 5, "query": "a"}
    for odd in ({"x-integrations-args": 7}, {"x-integrations-args": {"find": [1]}}, {}):
        assert overridden([brave], [odd]) == [brave]


@pytest.mark.parametrize(
    ("steps", "written"),
    [
        ([{"width": 100, "crop": "scale"}, {"angle": [10, "vflip"]}], "w_100,c_scale/a_10:vflip"),
        ([{"height": 5, "if": "w_gt_100"}], "if_w_gt_100,h_5"),
        ([{"raw_transformation": "e_art:hokusai/w_10"}], "e_art:hokusai/w_10"),
        ([{"overlay": "folder/img x"}, {}], "l_folder%2Fimg%20x"),
        ([{"$size": 10}], "$size_10"),
        ([], ""),
    ],
)
def test_transformation_is_written_as_addresses_have_it(steps: Any, written: str) -> None:
    assert cloudinary_terms.transformation(steps) == written


def test_signature_is_that_of_the_services_own_example() -> None:
    """From Cloudinary's page "Generating authentication signatures"."""
    given = {"eager": "w_400,h_300,c_pad|w_260,h_200,c_crop", "public_id": "sample_image", "timestamp": "1315060510"}
    assert cloudinary_terms.signature(given, "abcd") == "bfd09f95f331f558cbd1320e67aa8d488770583e"


@pytest.mark.parametrize("text", ["data:text/plain;base64,VGVh", "VGVh", " VG\nVh ", "data:;base64,VGVh"])
def test_file_in_base64_is_read_in_each_of_its_forms(text: str) -> None:
    assert files.decoded(text) == b"Tea"


@pytest.mark.parametrize("text", ["", "V", "VG=Vh", "data:text/plain,Tea", None, 7, "/etc/passwd!"])
def test_file_that_is_no_base64_is_refused(text: Any) -> None:
    with pytest.raises(ToolFailed):
        files.decoded(text)


@pytest.mark.parametrize("retry", [True, False])
def test_failure_of_a_service_says_to_a_step_of_a_task_whether_to_try_again(retry: bool) -> None:
    tool: Any = {"name": "find", "type": "integration", "integration": {"provider": "brave"}}
    failed = ToolFailed("`brave` is busy", retry=retry, more={"status": 429, "retry_after_s": 3600.0})
    fail = policy.of_tool(failed, tool, {}, 0.0)
    assert (fail.can_retry, "`brave` is busy" in fail.message) == (retry, True)
