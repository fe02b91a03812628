import httpx2
import pytest
from huggingface_hub import errors

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.outcome import Failure
from tunebird_trainer.stores import sources

MODEL = config_file.parse(config(model__uri="hf://org/name", model__revision="abc")).model
DATASET = config_file.parse(config(datasets__0__uri="hf://org/set/train.jsonl")).datasets[0]


@pytest.fixture
def hub(monkeypatch):
    """A hub whose next download ends as told; returns what was asked."""
    asked = []

    def ends(outcome):
        def download(repository, **rest):
            asked.append((repository, rest))
            if isinstance(outcome, Exception):
                raise outcome
            return str(outcome)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        return asked

    return ends


def answer(kind, status):
    return kind("no", response=httpx2.Response(status, request=httpx2.Request("GET", "http://hub/")))


@pytest.mark.parametrize(
    ("error", "reason", "said"),
    [
        (answer(errors.GatedRepoError, 403), "GatedModel", "accept its terms"),
        (answer(errors.RepositoryNotFoundError, 401), "ModelNotFound", "is not on the hub"),
        (answer(errors.RevisionNotFoundError, 404), "ModelNotFound", "at revision abc"),
        (errors.HFValidationError("bad name"), "ModelNotFound", "check the name"),
        (errors.LocalEntryNotFoundError("offline"), "ModelNotFound", "HF_HUB_OFFLINE is set"),
        (answer(errors.HfHubHTTPError, 503), "StorageUnavailable", "the run is retried"),
        (TimeoutError("slow"), "StorageUnavailable", "could not be downloaded"),
    ],
)
def test_the_hubs_errors_are_told_apart(hub, error, reason, said):
    hub(error)
    with pytest.raises(Failure) as caught:
        sources.fetch_model(MODEL)
    assert caught.value.reason == reason
    assert said in caught.value.message
    assert "hf://org/name" in caught.value.message


def loadable(directory, config='{"model_type": "llama"}'):
    (directory / "config.json").write_text(config)
    (directory / "model.safetensors").touch()
    return directory


def test_a_model_is_asked_for_without_pickles(hub, tmp_path):
    loadable(tmp_path)
    asked = hub(tmp_path)
    assert sources.fetch_model(MODEL) == tmp_path
    assert asked[0][0] == "org/name"
    assert asked[0][1]["revision"] == "abc"
    assert not any("bin" in pattern for pattern in asked[0][1]["allow_patterns"])


def test_one_file_of_a_hub_data_set(hub, tmp_path):
    (tmp_path / "train.jsonl").touch()
    asked = hub(tmp_path)
    assert sources.fetch_dataset(DATASET) == tmp_path / "train.jsonl"
    assert (asked[0][0], asked[0][1]["repo_type"]) == ("org/set", "dataset")


def test_a_file_that_the_data_set_does_not_have(hub, tmp_path):
    hub(tmp_path)
    with pytest.raises(Failure, match=r"org/set has no train\.jsonl"):
        sources.fetch_dataset(DATASET)


def test_a_revision_of_a_hub_data_set(hub, tmp_path):
    (tmp_path / "train.jsonl").touch()
    asked = hub(tmp_path)
    pinned = config(datasets__0__uri="hf://org/set/train.jsonl", datasets__0__revision="abc")
    sources.fetch_dataset(config_file.parse(pinned).datasets[0])
    assert asked[0][1]["revision"] == "abc"


def test_a_model_of_pickles_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    model = config_file.parse(config(model__uri=f"file://{tmp_path}")).model
    with pytest.raises(Failure, match=r"only pytorch_model\.bin, a pickle .*convert the weights"):
        sources.fetch_model(model)


def test_a_model_that_needs_its_own_code_is_refused_by_name(tmp_path):
    code = '{"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "modeling_strange.StrangeLM"}}'
    model = config_file.parse(config(model__uri=f"file://{loadable(tmp_path, code)}")).model
    with pytest.raises(Failure, match=r"needs its own code \(modeling_strange\.py\); .*never run"):
        sources.fetch_model(model)


def test_code_beside_an_architecture_that_is_known_is_left_alone(tmp_path):
    code = '{"model_type": "llama", "auto_map": {"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"}}'
    model = config_file.parse(config(model__uri=f"file://{loadable(tmp_path, code)}")).model
    assert sources.fetch_model(model) == tmp_path


def test_a_model_on_a_web_server_is_refused_with_the_remedy():
    model = config_file.parse(config(model__uri="https://models.example/llama")).model
    with pytest.raises(Failure, match="lists no directory; use hf://"):
        sources.fetch_model(model)


@pytest.mark.parametrize(("files", "said"), [([], "no config.json"), (["config.json"], r"no \*\.safetensors")])
def test_a_directory_that_is_no_model_is_said_to_be_none(tmp_path, files, said):
    for name in files:
        (tmp_path / name).touch()
    model = config_file.parse(config(model__uri=f"file://{tmp_path}")).model
    with pytest.raises(Failure, match=said):
        sources.fetch_model(model)


def test_a_pinned_digest_is_checked(tiny_model):
    from tunebird_trainer.stores.storage import directory_digest

    uri = f"file://{tiny_model}"
    good = config_file.parse(config(model__uri=uri, model__digest=directory_digest(tiny_model))).model
    assert sources.fetch_model(good) == tiny_model
    bad = config_file.parse(config(model__uri=uri, model__digest="sha256:" + "1" * 64)).model
    with pytest.raises(Failure, match="changed since it was pinned"):
        sources.fetch_model(bad)
