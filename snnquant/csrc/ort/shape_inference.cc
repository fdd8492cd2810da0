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

}  // namespace

void infer_output_shapes(const OrtApi* api, const OpEntry& entry, OrtShapeInferContext* context) {
  OrtTensorTypeAndShapeInfo* current = nullptr;
  check(api, api::ShapeInferContext_GetInputTypeShape(api, context, 0, &current));
  const Shape shape = shape_of(api, current);
  // An unknown shape looks like a scalar's; a bad one is reported when the node runs, since the
  // runtime does not show errors from here.
  if (shape.size() < 2) return;
  std::vector<const char*> symbols(shape.size());
  check(api, api::GetSymbolicDimensions(api, current, symbols.data(), symbols.size()));
  for (size_t k = 0; k < entry.outputs.size; ++k) {
    const PortEntry& port = entry.outputs[k];
    const bool timed = port.role == Role::spikes || port.role == Role::membrane;
    const size_t skipped = timed ? 0 : 1;
    const size_t rank = shape.size() - skipped;
    const ShapeInfo info(api);
    check(api, api::SetTensorElementType(api, info.get(), static_cast<int>(port.type)));
    check(api, api::SetDimensions(api, info.get(), shape.data() + skipped, rank));
    check(api, api::SetSymbolicDimensions(api, info.get(), symbols.data() + skipped, rank));
    check(api, api::ShapeInferContext_SetOutputTypeShape(api, context, k, info.get()));
  }
}

}  // namespace snnquant
