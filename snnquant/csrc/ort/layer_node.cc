#include "layer_node.h"

namespace snnquant {
namespace {

// Elements that a call may have without an index leaving 64 bits by far.
constexpr int64_t kMostElements = int64_t{1} << 46;
// Padded inputs of a step, and bytes of scratch memory that a thread may take for a part of them.
constexpr int64_t kMostPadded = int64_t{1} << 40;
constexpr int64_t kMostScratch = int64_t{1} << 31;

class LayerWork : public ParallelWork {
 public:
  LayerWork(const LayerKernels& kernels, const LayerCall& call) : kernels_(kernels), call_(call) {}
  void run(int64_t index, void* scratch) const override { kernels_.run(call_, index, scratch); }

 private:
  const LayerKernels& kernels_;
  const LayerCall& call_;
};

}  // namespace

LayerNode::LayerNode(const OrtApi* api, const OpEntry& op, const Isa& isa,
                     const OrtKernelInfo* info)
    : Node(api, op, isa, info) {
  read_shape();
  Held held(op.inputs.size, nullptr);
  bool all = true;
  for (size_t k = 0; k < op.inputs.size; ++k) {
    if (!describes_layer(op.inputs[k])) continue;
    int constant = 0;
    const OrtValue* value = nullptr;
    check(api, api::KernelInfoGetConstantInput_tensor(api, info, k, &constant, &value));
    if (constant != 0) held[k] = value;
    all = all && held[k] != nullptr;
  }
  if (all) prepared_ = prepare(held);
}

bool LayerNode::describes_layer(const PortEntry& port) const {
  return port.role == Role::weight || port.role == Role::bias || port.role == Role::constant;
}

void LayerNode::read_shape() {
  const int64_t fan_in = int_of(attribute::fan_in);
  shape_.zero_point = static_cast<int32_t>(int_of(attribute::zero_point));
  shape_.gain_shift = static_cast<int32_t>(int_of(attribute::gain_shift));
  const int64_t bits = int_of(attribute::weight_bits);
  if (bits != 8 && bits != 4 && bits != 2) {
    fail("attribute 'weight_bits' is " + std::to_string(bits) + ", must be 8, 4 or 2");
  }
  shape_.y = shape_.x = {1, 1, 1, 0};
  shape_.groups = 1;
  shape_.channels_in = fan_in;
  if (op_.synapse != Synapse::conv) return;
  const Shape& kernel = list_of(list_attribute::kernel_shape);
  const std::string wrong =
      window_.read(kernel, list_of(list_attribute::strides), list_of(list_attribute::dilations),
                   list_of(list_attribute::pads));
  if (!wrong.empty()) fail(wrong);
  shape_.y = window_.y;
  shape_.x = window_.x;
  shape_.groups = int_of(attribute::group);
  const int64_t positions = product(kernel);
  if (positions > fan_in || fan_in % positions != 0) {
    fail("attribute 'fan_in' is " + std::to_string(fan_in) + ", no multiple of the " +
         std::to_string(positions) + " positions of the kernel");
  }
  shape_.channels_in = fan_in / positions * shape_.groups;
}

Constant LayerNode::constant_of(const PortEntry& port, const OrtValue* value,
                                int64_t channels) const {
  const Shape shape = shape_of(api_, value);
  if (shape != Shape{1} && shape != Shape{channels}) {
    fail(std::string("input '") + port.name + "' has shape " + text_of(shape) +
         ", must have one of: [1], " + text_of({channels}) + " (one per output channel)");
  }
  return {data_of<int32_t>(api_, value), shape[0] == 1 ? channels : 1};
}

LayerSource LayerNode::source_of(const Held& held) const {
  LayerSource source = {};
  source.shape = shape_;
  source.weight_bits = static_cast<int32_t>(int_of(attribute::weight_bits));
  source.has_neuron = op_.family == Family::fused;
  source.recurrent = op_.recurrent;
  source.neuron = op_.neuron;
  for (int slot = 0; slot < attribute::count; ++slot) source.attributes[slot] = attributes_[slot];
  const int64_t row_bytes = (shape_.fan_in() * source.weight_bits + 7) / 8;
  int64_t& channels = source.shape.channels_out;
  for (size_t k = 0; k < held.size(); ++k) {
    const PortEntry& port = op_.inputs[k];
    if (!describes_layer(port)) continue;
    const Shape shape = shape_of(api_, held[k]);
    if (port.role == Role::weight) {
      channels = shape.empty() ? 0 : shape[0];
      require_shape(port, shape, {channels, row_bytes}, "attributes");
      source.weight = data_of<uint8_t>(api_, held[k]);
    } else if (port.role == Role::bias) {
      require_shape(port, shape, {channels}, "weight");
      source.bias = data_of<int32_t>(api_, held[k]);
    } else {
      source.constants[port.slot] = constant_of(port, held[k], channels);
    }
  }
  if (channels % shape_.groups != 0) {
    fail("its weight has " + std::to_string(channels) + " output channels, no multiple of " +
         std::to_string(shape_.groups) + " groups");
  }
  for (const StateEntry& entry : op_.states) {
    source.has_state[entry.slot] = true;
    if (entry.initial != kStartsAtZero) {
      source.initial[entry.slot] = source.constants[entry.initial];
    }
  }
  return source;
}

std::unique_ptr<PreparedLayer> LayerNode::prepare(const Held& held) const {
  return std::make_unique<PreparedLayer>(source_of(held));
}

LayerCall LayerNode::call_of(OrtKernelContext* context, const Layer& layer, Shape* leading,
                             Shape* spatial) const {
  const Shape shape = shape_of(api_, input(context, 0));
  const size_t axes = window_.axes;
  const bool timed = op_.family == Family::fused && !op_.is_static;
  const size_t least = axes + 1 + (op_.family == Family::fused ? (timed ? 2 : 1) : 1);
  const bool fits = op_.family == Family::fused ? shape.size() == least : shape.size() >= least;
  if (!fits || shape.back() != shape_.channels_in) {
    std::string wanted = timed ? "[T, B, " : op_.is_static ? "[B, " : "[..., ";
    if (axes > 0) wanted += axes == 1 ? "X, " : "Y, X, ";
    fail("input 'input' has shape " + text_of(shape) + ", must be " + wanted +
         std::to_string(shape_.channels_in) + "]");
  }
  LayerCall call = {};
  call.layer = &layer;
  call.neurons = &isa_.neurons;
  call.is_static = op_.is_static;
  const size_t first_axis = shape.size() - 1 - axes;
  leading->assign(shape.begin(), shape.begin() + static_cast<int64_t>(first_axis));
  MapShape& map = call.map;
  if (op_.is_static) leading->insert(leading->begin(), int_of(attribute::timesteps));
  call.steps = op_.family == Family::fused ? (*leading)[0] : 1;
  map.batch = op_.family == Family::fused ? (*leading)[1] : product(*leading);
  window_.measure(shape, first_axis, &map, spatial);
  double elements = static_cast<double>(call.steps) * static_cast<double>(map.batch);
  elements *= static_cast<double>(map.out_y) * static_cast<double>(map.out_x);
  elements *= static_cast<double>(layer.shape.channels_out);
  if (elements > static_cast<double>(kMostElements)) {
    fail("its output would have " + std::to_string(elements) + " elements; use a smaller batch");
  }
  const auto padded = [](const Axis& axis, int64_t in) {
    return static_cast<double>(in + axis.pad + axis.pad_behind);
  };
  if (padded(shape_.y, map.in_y) * padded(shape_.x, map.in_x) *
          static_cast<double>(shape_.channels_in) >
      static_cast<double>(kMostPadded)) {
    fail_of_padding();
  }
  call.input = data_of<uint8_t>(api_, input(context, 0));
  return call;
}

void LayerNode::fail_of_padding() const {
  fail("its padded input needs too much memory; use smaller 'pads', 'dilations' and 'strides'");
}

void LayerNode::read_input(size_t index, OrtKernelContext* context, const Shape& timed,
                           const Shape& state, LayerCall* call) const {
  const PortEntry& port = op_.inputs[index];
  if (index == 0 || describes_layer(port)) return;
  const OrtValue* value = input(context, index);
  const int64_t channels = call->layer->shape.channels_out;
  switch (port.role) {
    case Role::residual:
      require_shape(port, shape_of(api_, value), timed, "output");
      call->residual = data_of<int32_t>(api_, value);
      break;
    case Role::recurrent_weight:
      require_shape(port, shape_of(api_, value), {channels, channels}, "weight");
      call->recurrent_weight = data_of<int32_t>(api_, value);
      break;
    case Role::state:
      require_shape(port, shape_of(api_, value), state, "output");
      call->states_in[port.slot] = data_of<int32_t>(api_, value);
      break;
    case Role::last_spikes:
      require_shape(port, shape_of(api_, value), state, "output");
      call->last_spikes_in = data_of<uint8_t>(api_, value);
      break;
    default:
      fail(std::string("'") + port.name + "' cannot be an input");
  }
}

void LayerNode::allocate_output(size_t index, OrtKernelContext* context, const Shape& timed,
                                const Shape& state, LayerCall* call) const {
  const PortEntry& port = op_.outputs[index];
  switch (port.role) {
    case Role::spikes:
      call->spikes = data_of<uint8_t>(api_, output(context, index, timed));
      break;
    case Role::membrane:
    case Role::current:
      call->values = data_of<int32_t>(api_, output(context, index, timed));
      break;
    case Role::last_spikes:
      call->last_spikes_out = data_of<uint8_t>(api_, output(context, index, state));
      break;
    default:
      call->states_out[port.slot] = data_of<int32_t>(api_, output(context, index, state));
  }
}

void LayerNode::compute(OrtKernelContext* context) const {
  std::unique_ptr<PreparedLayer> made;
  if (prepared_ == nullptr) {
    Held held(op_.inputs.size, nullptr);
    for (size_t k = 0; k < op_.inputs.size; ++k) held[k] = input(context, k);
    made = prepare(held);
  }
  const Layer& layer = prepared_ == nullptr ? made->layer() : prepared_->layer();
  Shape timed, spatial;
  LayerCall call = call_of(context, layer, &timed, &spatial);
  Shape state(timed.begin() + 1, timed.end());
  for (Shape* shape : {&timed, &state}) {
    shape->insert(shape->end(), spatial.begin(), spatial.end());
    shape->push_back(layer.shape.channels_out);
  }
  for (size_t k = 0; k < op_.inputs.size; ++k) read_input(k, context, timed, state, &call);
  for (size_t k = 0; k < op_.outputs.size; ++k) allocate_output(k, context, timed, state, &call);
  if (call.steps == 0) {
    keep_states(call, product(state));
    return;
  }
  const LayerKernels& kernels = isa_.layers;
  const int64_t parts = kernels.parts(call);
  if (parts == 0) return;
  const int64_t bytes = kernels.scratch_bytes(call);
  if (bytes > kMostScratch && !shape_.one_position()) fail_of_padding();
  run_parallel(api_, context, LayerWork(kernels, call), parts, bytes);
}

void LayerNode::keep_states(const LayerCall& call, int64_t cells) const {
  for (int slot = 0; slot < state::count; ++slot) {
    int32_t* out = call.states_out[slot];
    for (int64_t n = 0; out != nullptr && n < cells; ++n) out[n] = call.states_in[slot][n];
  }
  uint8_t* last = call.last_spikes_out;
  for (int64_t n = 0; last != nullptr && n < cells; ++n) last[n] = call.last_spikes_in[n];
}

}  // namespace snnquant
