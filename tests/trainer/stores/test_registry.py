import base64
import json

import pytest

from trainer.factories import config
from trainer.web import JsonHandler, served
from tunebird_trainer import config_file
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.server import source
from tunebird_trainer.stores import objects, registry, registry_session, sources, storage

MODEL = objects.Subject("model", Reason.MODEL_NOT_FOUND, Reason.GATED_MODEL)


def made(directory, weights=b"w" * 1000):
    (directory / "merged").mkdir(parents=True)
    (directory / "merged" / "config.json").write_text('{"model_type": "llama"}')
    (directory / "merged" / "model.safetensors").write_bytes(weights)
    (directory / "README.md").write_text("# a model\n")
    forms = {"merged": {"path": "merged", "digest": storage.directory_digest(directory / "merged")}}
    record = {"job": {"uid": "one"}, "digest": storage.directory_digest(directory), "forms": forms}
    (directory / "tunebird.json").write_text(json.dumps(record))
    return directory


@pytest.fixture
def repository(registry_server, cached, request):
    return f"oci://{registry_server}/models/m{abs(hash(request.node.nodeid))}"


def test_a_pushed_artifact_comes_back_whole(repository, tmp_path):
    staged = made(tmp_path / "staged")
    registry.publish(staged, f"{repository}:1", tmp_path)
    found = registry.fetch(f"{repository}:1", MODEL)
    assert storage.file_digests(found) == storage.file_digests(staged)
    assert registry.published(f"{repository}:1")["job"]["uid"] == "one"
    model = config_file.parse(config(model__uri=f"{repository}:1")).model
    assert sources.fetch_model(model).name == "merged"


def test_it_is_pulled_by_digest_too_and_served(repository, tmp_path):
    staged = made(tmp_path / "staged")
    digest = registry.publish(staged, f"{repository}:1", tmp_path)
    found = source.directory(f"{repository}@{digest}")
    assert source.verified("oci", found, storage.directory_digest(staged, ["tunebird.json"]))
    assert source.merged_form(found).name == "merged"


def test_the_same_artifact_is_the_same_image(repository, tmp_path):
    first = registry.publish(made(tmp_path / "one"), f"{repository}:1", tmp_path)
    assert registry.publish(made(tmp_path / "two"), f"{repository}:2", tmp_path) == first


def test_another_artifact_under_a_tag_is_refused(repository, tmp_path):
    registry.publish(made(tmp_path / "one"), f"{repository}:1", tmp_path)
    with pytest.raises(Failure, match="published by another run") as caught:
        registry.publish(made(tmp_path / "two", b"other"), f"{repository}:1", tmp_path)
    assert caught.value.reason is Reason.INVALID_CONFIG


def test_a_tag_that_is_not_there(repository):
    assert registry.published(f"{repository}:none") is None
    with pytest.raises(Failure, match="nothing is at") as caught:
        registry.fetch(f"{repository}:none", MODEL)
    assert caught.value.reason is Reason.MODEL_NOT_FOUND


@pytest.mark.parametrize("uri", ["oci://registry.example/models", "oci://registry.example/Models:1", "oci:///m:1"])
def test_an_address_without_a_tag_is_refused_in_the_config(uri):
    with pytest.raises(Failure, match=r"output\.uri: .*write oci://HOST/REPOSITORY:TAG"):
        config_file.parse(config(output__uri=uri, checkpoint__uri="file:///c"))


def test_only_this_host_is_spoken_to_in_the_clear():
    url = {
        host: registry_session.Address(host, "m", "1").url("blobs", "x")
        for host in ("127.0.0.1:5000", "h", "127.0.0.1.evil.example")
    }
    assert [each.partition(":")[0] for each in url.values()] == ["http", "https", "https"]


@pytest.fixture
def guarded():
    """A registry that wants a token, and gives it to one user."""
    asked = []

    class Handler(JsonHandler):
        def get(self):
            asked.append(self.path)
            here = f"http://127.0.0.1:{self.server.server_port}"
            login = "Basic " + base64.b64encode(b"me:right").decode()
            if self.path.startswith("/token"):
                right = self.headers.get("Authorization") == login
                return self.say({"token": "t0"}, 200 if right else 401)
            if self.headers.get("Authorization") != "Bearer t0":
                challenge = f'Bearer realm="{here}/token",service="reg",scope="repository:m:pull"'
                return self.say({}, 401, WWW_Authenticate=challenge)
            return self.say({}, 404)

    with served(Handler) as url:
        yield f"oci://{url.removeprefix('http://')}/m:1", asked


def test_a_token_is_fetched_with_the_secrets_login(guarded, cached, monkeypatch):
    uri, asked = guarded
    monkeypatch.setenv("REGISTRY_USERNAME", "me")
    monkeypatch.setenv("REGISTRY_PASSWORD", "right")
    assert registry.published(uri) is None
    assert "scope=repository%3Am%3Apull" in asked[1]


def test_dockers_config_is_a_login_too(guarded, cached, monkeypatch, tmp_path):
    uri, _ = guarded
    auth = {"auth": base64.b64encode(b"me:right").decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {uri.split("/")[2]: auth}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert registry.published(uri) is None


def test_a_wrong_login_names_the_secrets_keys(guarded, cached, monkeypatch):
    uri, _ = guarded
    monkeypatch.setenv("REGISTRY_USERNAME", "me")
    monkeypatch.setenv("REGISTRY_PASSWORD", "wrong")
    with pytest.raises(Failure, match="REGISTRY_USERNAME and REGISTRY_PASSWORD") as caught:
        registry.fetch(uri, MODEL)
    assert caught.value.reason is Reason.GATED_MODEL
