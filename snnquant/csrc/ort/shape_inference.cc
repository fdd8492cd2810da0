#include <memory>
#include <string>
#include <vector>

#include "custom_op.h"
#include "failure.h"
#include "tensor.h"
#include "window.h"

namespace snnquant {
namespace {

constexpr size_t kMostEntries = 8;  // of a list attribute

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

// Dimensions with their symbols: equal ones are equal sizes, and no symbol goes with a known size.
struct Dims {
  Shape sizes;
  std::vector<std::string> symbols;

  void add(int64_t size, const std::string& symbol) {
    sizes.push_back(size);
    symbols.push_back(size < 0 ? symbol : "");
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
  const Shape sizes = shape_of(api, info);
  std::vector<const char*> symbols(sizes.size());
  check(api, api::GetSymbolicDimensions(api, info, symbols.data(), symbols.size()));
  for (size_t k = 0; k < sizes.size(); ++k) dims.add(sizes[k], symbols[k]);
  return dims;
}

// An integer attribute, or one that is a list; empty where the runtime has none.
Shape attribute_of(const OrtApi* api, OrtShapeInferContext* context, const char* name, int type) {
  const OrtOpAttr* attribute = nullptr;
  check(api, api::ShapeInferContext_GetAttribute(api, context, name, &attribute));
  Shape values(kMostEntries);
  size_t bytes = 0;
  check(api, api::ReadOpAttr(api, attribute, type, values.data(), values.size() * sizeof(int64_t),
                             &bytes));
  values.resize(bytes / sizeof(int64_t));
  return values;
}

// Adds the sizes of the axes behind a window, the first of which is `first`. A size that is not
// known gets a symbol that says what it is, so that only equal sizes share one. Returns whether the
// window is one.
bool add_windowed(const OrtApi* api, OrtShapeInferContext* context, const Span<ListEntry>& lists,
                  const Dims& input, size_t axes, Dims* out) {
  bool good = true;
  const auto list = [&](const char* name) {
    const Shape values = attribute_of(api, context, name, kIntsAttribute);
    for (const ListEntry& entry : lists) {
      for (size_t k = 0; entry.name == std::string(name) && k < values.size(); ++k) {
        good = good && entry.fits(values[k]);
      }
    }
    return values;
  };
  const Shape kernel = list("kernel_shape"), pads = list("pads");
  Window window;
  const std::string wrong = window.read(kernel, list("strides"), list("dilations"), pads);
  if (!wrong.empty() || !good) return false;  // the node reports it
  for (size_t k = 0; k < axes; ++k) {
    const size_t axis = input.sizes.size() - 1 - axes + k;
    const int64_t in = input.sizes[axis];
    const Axis& a = window.axis(k);
    const std::string symbol = input.symbols[axis] + ".k" + std::to_string(a.kernel) + "s" +
                               std::to_string(a.stride) + "d" + std::to_string(a.dilation) + "p" +
                               std::to_string(a.pad + a.pad_behind);
    out->add(in < 0 ? -1 : a.out_size(in), input.symbols[axis].empty() ? "" : symbol);
  }
  return true;
}

void set_output(const OrtApi* api, OrtShapeInferContext* context, size_t index,
                const PortEntry& port, const Dims& all, size_t skipped) {
  const size_t rank = all.sizes.size() - skipped;
  std::vector<const char*> symbols;
  for (const std::string& symbol : all.symbols) symbols.push_back(symbol.c_str());
  const ShapeInfo info(api);
  check(api, api::SetTensorElementType(api, info.get(), static_cast<int>(port.type)));
  check(api, api::SetDimensions(api, info.get(), all.sizes.data() + skipped, rank));
  check(api, api::SetSymbolicDimensions(api, info.get(), symbols.data() + skipped, rank));
  check(api, api::ShapeInferContext_SetOutputTypeShape(api, context, index, info.get()));
}

// Dimensions of the outputs that have a time axis; none where they cannot be told.
Dims timed_output(const OrtApi* api, const OpEntry& entry, OrtShapeInferContext* context,
                  const Dims& input) {
  if (entry.lists.size == 0 && entry.synapse == Synapse::none) return input;
  const size_t rank = input.sizes.size();
  const size_t axes =
      entry.lists.size == 0 ? 0 : attribute_of(api, context, "kernel_shape", kIntsAttribute).size();
  Dims out;
  if (rank < axes + 2) return out;
  if (entry.is_static) {
    out.add(attribute_of(api, context, "timesteps", kIntAttribute).at(0), "");
  }
  out.append(input, 0, rank - 1 - axes);
  if (axes > 0 && !add_windowed(api, context, entry.lists, input, axes, &out)) return Dims();
  if (entry.synapse == Synapse::none) {
    out.append(input, rank - 1, rank);
    return out;
  }
  const Dims weight = dims_of(api, context, 1);
  if (weight.sizes.empty()) return Dims();
  out.append(weight, 0, 1);
  return out;
}

}  // namespace

void infer_output_shapes(const OrtApi* api, const OpEntry& entry, OrtShapeInferContext* context) {
  const Dims input = dims_of(api, context, 0);
  // An unknown shape looks like a scalar's; a bad one is reported when the node runs, since the
  // runtime does not show errors from here.
  if (input.sizes.size() < 2) return;
  const Dims timed = timed_output(api, entry, context, input);
  // The runtime takes sizes without a symbol for equal ones.
  for (size_t k = 0; k < timed.sizes.size(); ++k) {
    if (timed.sizes[k] < 0 && timed.symbols[k].empty()) return;
  }
  if (timed.sizes.empty()) return;
  for (size_t k = 0; k < entry.outputs.size; ++k) {
    const PortEntry& port = entry.outputs[k];
    const bool has_time =
        port.role == Role::spikes || port.role == Role::membrane || port.role == Role::current;
    set_output(api, context, k, port, timed, has_time ? 0 : 1);
  }
}

}  // namespace snnquant
