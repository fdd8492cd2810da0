// An op of the table as ONNX Runtime sees it.
#pragma once

#include <atomic>

#include "../isa/dispatch.h"
#include "abi.h"
#include "op_table.h"

namespace snnquant {

struct CustomOp : OrtCustomOp {
  const OpEntry* entry;
  const OrtApi* api;
  // Instruction set of nodes created from now on; shared by all ops of a runtime.
  const std::atomic<const Isa*>* isa;
};

CustomOp make_custom_op(const OpEntry& entry, const OrtApi* api,
                        const std::atomic<const Isa*>* isa);

// Gives the shapes of an op's outputs as far as that of its first input is known; throws Failure.
void infer_output_shapes(const OrtApi* api, const OpEntry& entry, OrtShapeInferContext* context);

}  // namespace snnquant
