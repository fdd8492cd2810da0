#include <memory>
#include <vector>

#include "custom_op.h"
#include "failure.h"
#include "tensor.h"

namespace snnquant {
namespace {

// A shape description that we own.
class ShapeInfo {
 public:
  explicit ShapeInfo(const OrtApi* api) : api_(api) {
    check(api, api::CreateTensorTypeAndShapeInfo(api, &info_));
  }
  ~ShapeInfo() { api::ReleaseTensorTypeAndShapeInfo(api_, info_); }
  ShapeInfo(const ShapeInfo&) = delete;
  ShapeInfo& operator=(const ShapeInfo&) = delete;
  OrtTensorTypeAndShapeInfo* get() const { return info_; }

 private:
  const OrtApi* api_;
  OrtTensorTypeAndShapeInfo* info_ = nullptr;
};

// Dimensions with their symbols; one that is not known is -1 and has none.
struct Dims {
  Shape sizes;
  std::vector<const char*> symbols;

  void add(int64_t size, const char* symbol = "") {
    sizes.push_back(size);
    symbols.push_back(symbol);
  }
  void append(const Dims& other, size_t first, size_t last) {
    for (size_t k = first; k < last; ++k) add(other.sizes[k], other.symbols[k]);
  }
};

// Dimensions of an input; none where nothing is known of it.
Dims dims_of(const OrtApi* api, OrtShapeInferContext* context, size_t index) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  check(api, api::ShapeInferContext_GetInputTypeShape(api, context, index, &info));
  Dims dims;
  dims.sizes = shape_of(api, info);
  dims.symbols.resize(dims.sizes.size());
  check(api, api::GetSymbolicDimensions(api, info, dims.symbols.data(), dims.symbols.size()));
  return dims;
}

void set_output(const OrtApi* api, OrtShapeInferContext* context, size_t index,
                const PortEntry& port, const Dims& all, size_t skipped) {
  const size_t rank = all.sizes.size() - skipped;
  const ShapeInfo info(api);
  check(api, api::SetTensorElementType(api, info.get(), static_cast<int>(port.type)));
  check(api, api::SetDimensions(api, info.get(), all.sizes.data() + skipped, rank));
  check(api, api::SetSymbolicDimensions(
                 api, info.get(), const_cast<const char**>(all.symbols.data()) + skipped, rank));
  check(api, api::ShapeInferContext_SetOutputTypeShape(api, context, index, info.get()));
}

// Dimensions of the outputs that have a time axis. The sizes of a map behind a window are left to
// the call.
Dims timed_output(const OrtApi* api, const OpEntry& entry, OrtShapeInferContext* context,
                  const Dims& input) {
  const size_t rank = input.sizes.size();
  Dims out;
  if (entry.family == Family::spike_max_pool || entry.family == Family::spike_sum_pool) {
    // How many axes are pooled is an attribute; the number of axes stays.
    for (size_t k = 0; k + 1 < rank; ++k) out.add(-1);
    out.append(input, rank - 1, rank);
    return out;
  }
  if (entry.synapse == Synapse::none) return input;
  const Dims weight = dims_of(api, context, 1);
  if (entry.is_static) out.add(-1);
  const size_t leading = entry.synapse == Synapse::linear       ? rank - 1
                         : entry.family == Family::synapse ? 0
                         : entry.is_static                 ? 1
                                                           : 2;
  out.append(input, 0, leading);
  for (size_t k = leading; k + 1 < rank; ++k) out.add(-1);
  if (weight.sizes.empty()) {
    out.add(-1);
  } else {
    out.append(weight, 0, 1);
  }
  return out;
}

}  // namespace

void infer_output_shapes(const OrtApi* api, const OpEntry& entry, OrtShapeInferContext* context) {
  const Dims input = dims_of(api, context, 0);
  // An unknown shape looks like a scalar's; a bad one is reported when the node runs, since the
  // runtime does not show errors from here.
  if (input.sizes.size() < 2) return;
  const Dims timed = timed_output(api, entry, context, input);
  for (size_t k = 0; k < entry.outputs.size; ++k) {
    const PortEntry& port = entry.outputs[k];
    const bool has_time = port.role == Role::spikes || port.role == Role::membrane ||
                          port.role == Role::current;
    set_output(api, context, k, port, timed, has_time ? 0 : 1);
  }
}

}  // namespace snnquant
