"""Texts as CUDA, NCCL, Gloo and NVIDIA's kernel driver write them, and what each means.

The formats are those of PyTorch's notes on CUDA memory, of NVIDIA's list of Xid errors
(https://docs.nvidia.com/deploy/xid-errors/) and of reports such as
https://github.com/hiyouga/LlamaFactory/issues/7396 and https://github.com/pytorch/pytorch/issues/118369;
numbers, names and addresses are made up.
"""

import pytest
import torch

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.__main__ import _completed
from tunebird_trainer.outcome import EXIT_CODES, Reason
from tunebird_trainer.survival import faults
from tunebird_trainer.survival.launch import Ended
from tunebird_trainer.training import environment

CUDA_OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB "
    "of which 1.03 GiB is free. Including non-PyTorch memory, this process has 78.11 GiB memory in use."
)
CUBLAS = "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
NCCL_OOM = "misc/strongstream.cc:53 NCCL WARN Cuda failure 2 'out of memory'"
WATCHDOG = (
    "[rank0]:[E321 02:07:08.408271257 ProcessGroupNCCL.cpp:607] [Rank 0] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum=1580, OpType=ALLREDUCE, NumelIn=466, NumelOut=466, Timeout(ms)=600000) ran for 600060 ms "
    "before timing out."
)
REMOTE = (
    "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:2251, remote process exited or there was "
    "a network error, NCCL version 2.21.5\nncclRemoteError: A call failed possibly due to a network error or a remote "
    "process exiting prematurely."
)
GLOO = "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.3.7]:51244"
XID_79 = "[ 1043.52] NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, name=python, GPU has fallen off the bus."
XID_48 = "[ 882.10] NVRM: Xid (PCI:0000:86:00): 48, pid='<unknown>', name=<unknown>, DBE (double bit error) ECC Error"
XID_13 = "[ 882.10] NVRM: Xid (PCI:0000:86:00): 13, pid=4711, name=python, Graphics SM Warp Exception"
ECC = "RuntimeError: CUDA error: uncorrectable ECC error encountered"
ILLEGAL = "RuntimeError: CUDA error: an illegal memory access was encountered"
HOST = (
    "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
    "to allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("text", "reason", "code"),
    [
        (CUDA_OOM, Reason.CUDA_OUT_OF_MEMORY, 5),
        (CUBLAS, Reason.CUDA_OUT_OF_MEMORY, 5),
        (NCCL_OOM, Reason.CUDA_OUT_OF_MEMORY, 5),
        (WATCHDOG, Reason.RENDEZVOUS_TIMEOUT, 200),
        (REMOTE, Reason.RENDEZVOUS_TIMEOUT, 200),
        (GLOO, Reason.RENDEZVOUS_TIMEOUT, 200),
        (XID_79, Reason.GPU_FAULT, 201),
        (XID_48, Reason.GPU_FAULT, 201),
        (ECC, Reason.GPU_FAULT, 201),
        (HOST, Reason.HOST_OUT_OF_MEMORY, 86),
    ],
)
def test_each_text_has_its_reason_and_exit_code(text, reason, code):
    fault = faults.found_in(f"step 4\n{text}\nTraceback")
    assert (fault.reason, EXIT_CODES[fault.reason]) == (reason, code)
    told = _completed({"phase": "train", "step": 4, "of": 9}, Ended(0, 134, text))
    assert (told["reason"], told["exitCode"]) == (reason, code)
    assert fault.line in told["message"]
    assert told["message"].endswith("at step 4 of 9")


@pytest.mark.parametrize("text", [ILLEGAL, XID_13, "KeyError: 'labels'", ""])
def test_a_programs_own_errors_are_no_fault_of_the_hardware(text):
    assert faults.found_in(text) is None


def test_a_broken_gpu_explains_the_errors_of_the_libraries_above_it():
    assert faults.found_in(f"{WATCHDOG}\n{CUDA_OOM}\n{XID_79}").reason is Reason.GPU_FAULT


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), Reason.CUDA_OUT_OF_MEMORY),
        (MemoryError(), Reason.HOST_OUT_OF_MEMORY),
        (RuntimeError(HOST), Reason.HOST_OUT_OF_MEMORY),
        (RuntimeError(GLOO), Reason.RENDEZVOUS_TIMEOUT),
        (torch.distributed.DistBackendError(REMOTE), Reason.RENDEZVOUS_TIMEOUT),
        (torch.distributed.DistStoreError("wait timeout after 1800000ms"), Reason.RENDEZVOUS_TIMEOUT),
        (RuntimeError(ECC), Reason.GPU_FAULT),
        (RuntimeError(ILLEGAL), Reason.INTERNAL),
        (KeyError("Connection closed by peer"), Reason.INTERNAL),
    ],
)
def test_each_exception_has_its_reason(error, reason):
    failure = environment.classified(error, config_file.parse(config()))
    assert failure.reason is reason
    if reason in (Reason.CUDA_OUT_OF_MEMORY, Reason.HOST_OUT_OF_MEMORY) and not isinstance(error, RuntimeError):
        assert " GiB; " in failure.message, "the peak is told"
