// An op of the table as ONNX Runtime sees it.
#pragma once

#include <atomic>

#include "../core/problem.h"
#include "abi.h"
#include "op_table.h"

namespace snnquant {

struct CustomOp : OrtCustomOp {
  const OpEntry* entry;
  const OrtApi* api;
  // Kernels for nodes created from now on; shared by all ops of a runtime.
  const std::atomic<const Kernels*>* kernels;
};

CustomOp make_custom_op(const OpEntry& entry, const OrtApi* api,
                        const std::atomic<const Kernels*>* kernels);

// Gives the shapes of an op's outputs as far as that of the current is known; throws Failure.
void infer_output_shapes(const OrtApi* api, const OpEntry& entry, OrtShapeInferContext* context);

}  // namespace snnquant
