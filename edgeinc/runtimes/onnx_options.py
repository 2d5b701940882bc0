"""Options of execution providers: which there are, and which values they may have.

Providers pass over values that they do not understand, or fail with words of their own
sources. The values are those of onnxruntime.ai/docs/execution-providers and, of Qualcomm's
plugin, of its library's own messages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from edgeinc.devices import Device
from edgeinc.errors import DeviceLibraryError, InputError
from edgeinc.runtimes.helpers import near, warn_caller

__all__ = ["check_options", "warn_of_unknown"]

_ANY = ""
_WHOLE = "a whole number from 0"
_SIGNED = "a whole number from 0, or -1"
_CHIPS = "CPU, GPU, NPU, one of several such as GPU.1, or AUTO:, HETERO: or MULTI: and a list"
_SWITCH = "0 1"
_TRUTH = "true false True False 0 1"
# Where words do not do.
_PATTERNS = {
    _ANY: ".*",
    _WHOLE: "[0-9]+",
    _SIGNED: "[0-9]+|-1",
    _CHIPS: r"(CPU|GPU|NPU)(\.[0-9]+)?(_FP(16|32))?|(AUTO|HETERO|MULTI|BATCH)(:.+)?",
}

# Of each provider: the values, words or a pattern, and the options that take them.
_VALUES: dict[str, dict[str, str]] = {
    "QNNExecutionProvider": {
        "cpu genie gpu htp ir saver": "backend_type",
        "balanced burst default extreme_power_saver high_performance high_power_saver low_balanced "
        "low_power_saver power_saver sustained_high_performance": "htp_performance_mode",
        "0 1 2 3": "htp_graph_finalization_optimization_mode",
        "basic detailed off optrace": "profiling_level",
        "critical critical_plus high high_plus low normal normal_high normal_low": (
            "qnn_context_priority"
        ),
        _WHOLE: (
            "device_id htp_arch htp_graph_splitting_num_prepare_threads htp_reused_io_limit_mb "
            "num_graph_prepare_threads rpc_control_latency vtcm_mb"
        ),
        _SWITCH: (
            "disable_file_mapped_weights dump_json_qnn_graph dump_qnn_ep_input_graph "
            "dump_qnn_ir_dlc enable_block_quant_weight_optimization enable_framework_op_trace "
            "enable_htp_fp16_clamp_overflow enable_htp_fp16_precision enable_htp_graph_splitting "
            "enable_htp_monolithic_lstm enable_htp_prepare_and_load enable_htp_prepare_only "
            "enable_htp_shared_memory_allocator enable_htp_spill_fill_buffer "
            "enable_vtcm_backup_buffer_sharing extended_udma htp_bf16_enable "
            "htp_share_resource_optimization offload_graph_io_quantization "
            "skip_backend_op_validation skip_qnn_version_check"
        ),
        _ANY: (
            "backend_path dump_qnn_ep_input_graph_dir dump_qnn_ir_dlc_dir framework_op_trace_dir "
            "json_qnn_graph_dir op_affinity op_packages profiling_file_path qnn_ir_backend_path "
            "qnn_saver_path soc_model"
        ),
    },
    "OpenVINOExecutionProvider": {
        _CHIPS: "device_type",
        _WHOLE: "num_of_threads num_streams",
        "ACCURACY FP16 FP32": "precision",
        "DEFAULT HIGH LOW MEDIUM": "model_priority",
        "true false True False": (
            "disable_dynamic_shapes enable_causallm enable_opencl_throttling enable_qdq_optimizer"
        ),
    },
    "TensorrtExecutionProvider": {
        _WHOLE: (
            "device_id trt_dla_core trt_max_partition_iterations trt_max_workspace_size "
            "trt_min_subgraph_size"
        ),
        _SIGNED: "trt_auxiliary_streams",
        "0 1 2 3 4 5": "trt_builder_optimization_level",
        _TRUTH: (
            "trt_bf16_enable trt_cuda_graph_enable trt_dla_enable trt_engine_cache_enable "
            "trt_fp16_enable trt_int8_enable trt_timing_cache_enable"
        ),
    },
    "CUDAExecutionProvider": {
        _WHOLE: "device_id gpu_mem_limit",
        "kNextPowerOfTwo kSameAsRequested": "arena_extend_strategy",
        "DEFAULT EXHAUSTIVE HEURISTIC": "cudnn_conv_algo_search",
        _TRUTH: (
            "cudnn_conv_use_max_workspace do_copy_in_default_stream enable_cuda_graph prefer_nhwc "
            "use_tf32"
        ),
    },
    "CoreMLExecutionProvider": {
        "ALL CPUAndGPU CPUAndNeuralEngine CPUOnly": "MLComputeUnits",
        "MLProgram NeuralNetwork": "ModelFormat",
        "Default FastPrediction": "SpecializationStrategy",
        _SWITCH: (
            "AllowLowPrecisionAccumulationOnGPU EnableOnSubgraphs ProfileComputePlan "
            "RequireStaticInputShapes"
        ),
    },
}
# Options that are libraries: paths, or names that the provider or the system looks for.
_LIBRARIES = ("backend_path", "qnn_ir_backend_path", "qnn_saver_path")
# Of these all options are known, and others are passed over without a word.
_SILENT = ("QNNExecutionProvider",)


def check_options(device: Device) -> None:
    """Refuse values that a provider's options do not have.

    >>> check_options(Device.of("QNNExecutionProvider,backend_type=htp,vtcm_mb=8"))

    Args:
        device: A provider with its options; options that are not known here are passed over.

    Raises:
        InputError: An option has no such value; the message names those that it has.
        DeviceLibraryError: An option is the path of a library that is not here.
    """
    known = _known(device.name)
    for key, value in device.options.items():
        values = known.get(key, _ANY)
        words = values.split()
        pattern = _PATTERNS.get(values)
        if not (value in words if pattern is None else re.fullmatch(pattern, value)):
            said = f"{', '.join(words[:-1])} or {words[-1]}" if pattern is None else values
            raise InputError(f"{device.name} takes no {key}={value}; give {said}.")
        if key in _LIBRARIES and os.sep in value and not Path(value).exists():
            raise DeviceLibraryError(
                f"The library {value} ({key} of {device.name}) is not here; check its path."
            )


def warn_of_unknown(provider: str, options: Iterable[str]) -> None:
    """Warn of options that a provider would pass over without a word."""
    known = _known(provider) if provider in _SILENT else ()
    for key in options if known else ():
        if key not in known:
            close = " or ".join(near(key, known, 3))
            hint = f"did you mean {close}?" if close else "check its documentation."
            warn_caller(f"{provider} may have no option {key!r}; {hint}")


def _known(provider: str) -> dict[str, str]:
    """The options of a provider that are known here, with their values."""
    table = _VALUES.get(provider, {})
    return {key: values for values, keys in table.items() for key in keys.split()}
