// One node of a model: its checked attributes, and the computation of one call.
#pragma once

#include <string>

#include "../core/problem.h"
#include "abi.h"
#include "op_table.h"
#include "tensor.h"

namespace snnquant {

class Kernel {
 public:
  // Reads and checks the node's attributes; throws Failure.
  Kernel(const OrtApi* api, const OpEntry& op, const Kernels& kernels, const OrtKernelInfo* info);

  // Checks the inputs, allocates the outputs and computes them; throws Failure.
  void compute(OrtKernelContext* context) const;

 private:
  [[noreturn]] void fail(const std::string& what) const;
  void require_shape(const PortEntry& port, const Shape& found, const Shape& wanted) const;
  Constant constant_of(const PortEntry& port, const OrtValue* value, const Shape& features) const;
  void read_input(size_t index, OrtKernelContext* context, const Shape& shape,
                  Problem& problem) const;
  void allocate_output(size_t index, OrtKernelContext* context, const Shape& shape,
                       Problem& problem) const;

  const OrtApi* api_;
  const OpEntry& op_;
  const Kernels& kernels_;
  std::string where_;  // node and op, the start of every message
  int32_t attributes_[attribute::count] = {};
};

// Runs a problem on the session's thread pool; throws Failure.
void run_parallel(const OrtApi* api, OrtKernelContext* context, const Kernels& kernels,
                  const Problem& problem);

}  // namespace snnquant
