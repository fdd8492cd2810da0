// One node of a model: its checked attributes, and the computation of one call.
#pragma once

#include <memory>
#include <string>

#include "../isa/dispatch.h"
#include "abi.h"
#include "op_table.h"
#include "tensor.h"

namespace snnquant {

class Node {
 public:
  virtual ~Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Checks the inputs, allocates the outputs and computes them; throws Failure.
  virtual void compute(OrtKernelContext* context) const = 0;

 protected:
  // Reads and checks the node's attributes; throws Failure.
  Node(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info);

  [[noreturn]] void fail(const std::string& what) const;
  // Fails unless an input has the shape that it must have to fit `to`.
  void require_shape(const PortEntry& port, const Shape& found, const Shape& wanted,
                     const char* to) const;
  const OrtValue* input(OrtKernelContext* context, size_t index) const;
  OrtValue* output(OrtKernelContext* context, size_t index, const Shape& shape) const;
  int64_t int_of(attribute::Slot slot) const { return attributes_[slot]; }
  const Shape& list_of(list_attribute::Slot slot) const { return lists_[slot]; }

  const OrtApi* api_;
  const OpEntry& op_;
  const Isa& isa_;
  std::string where_;  // node and op, the start of every message
  int32_t attributes_[attribute::count] = {};
  Shape lists_[list_attribute::count];

 private:
  void read_int(const AttributeEntry& entry, const OrtKernelInfo* info);
  void read_list(const ListEntry& entry, const OrtKernelInfo* info);
};

// Makes the node of an op; throws Failure.
std::unique_ptr<Node> make_node(const OrtApi* api, const OpEntry& op, const Isa& isa,
                                const OrtKernelInfo* info);

// Runs body(0), ..., body(count - 1) on the session's thread pool, each with so many bytes of
// scratch memory; throws Failure.
class ParallelWork {
 public:
  virtual ~ParallelWork() = default;
  virtual void run(int64_t index, void* scratch) const = 0;
};
void run_parallel(const OrtApi* api, OrtKernelContext* context, const ParallelWork& work,
                  int64_t count, int64_t scratch_bytes);

}  // namespace snnquant
