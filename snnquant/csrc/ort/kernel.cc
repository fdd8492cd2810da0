#include "kernel.h"

namespace snnquant {
namespace {

std::string node_name(const OrtApi* api, const OrtKernelInfo* info) {
  size_t size = 0;
  check(api, api::KernelInfo_GetNodeName(api, info, nullptr, &size));
  std::string name(size, '\0');
  check(api, api::KernelInfo_GetNodeName(api, info, &name[0], &size));
  return name.c_str();  // without the terminator that the size counts
}

Shape features_of(const Shape& current) { return Shape(current.begin() + 2, current.end()); }

Shape state_shape_of(const Shape& current) { return Shape(current.begin() + 1, current.end()); }

}  // namespace

Kernel::Kernel(const OrtApi* api, const OpEntry& op, const Kernels& kernels,
               const OrtKernelInfo* info)
    : api_(api), op_(op), kernels_(kernels) {
  where_ = "node '" + node_name(api, info) + "' (" + op.name + "): ";
  for (const AttributeEntry& entry : op.attributes) {
    int64_t value = 0;
    OrtStatus* status = api::KernelInfoGetAttribute_int64(api, info, entry.name, &value);
    const bool missing = status != nullptr;
    if (missing) api::ReleaseStatus(api, status);
    if (missing || value < entry.low || value > entry.high) {
      fail(std::string("attribute '") + entry.name + "' is " +
           (missing ? "missing" : std::to_string(value)) + ", must be an integer from " +
           std::to_string(entry.low) + " to " + std::to_string(entry.high) + " (" + entry.doc + ")");
    }
    attributes_[entry.slot] = static_cast<int32_t>(value);
  }
}

void Kernel::fail(const std::string& what) const { throw Failure(where_ + what); }

void Kernel::require_shape(const PortEntry& port, const Shape& found, const Shape& wanted) const {
  if (found == wanted) return;
  fail(std::string("input '") + port.name + "' has shape " + text_of(found) + ", must have " +
       text_of(wanted) + " to fit the current");
}

Constant Kernel::constant_of(const PortEntry& port, const OrtValue* value,
                             const Shape& features) const {
  const Shape shape = shape_of(api_, value);
  const int64_t neurons = product(features);
  int64_t neurons_per_value = 0;
  if (!shape.empty() && product(shape) == 1) {
    neurons_per_value = neurons;
  } else if (shape.size() == 1 && !features.empty() && shape[0] == features[0]) {
    neurons_per_value = product(Shape(features.begin() + 1, features.end()));
  } else if (shape == features && !shape.empty()) {
    neurons_per_value = 1;
  } else {
    std::string accepted = "[1]";
    if (!features.empty()) accepted += ", " + text_of({features[0]}) + " (one per channel)";
    if (features.size() > 1) accepted += ", " + text_of(features) + " (one per neuron)";
    fail(std::string("input '") + port.name + "' has shape " + text_of(shape) +
         ", must have one of: " + accepted);
  }
  return {data_of<int32_t>(api_, value), neurons_per_value};
}

void Kernel::read_input(size_t index, OrtKernelContext* context, const Shape& shape,
                        Problem& problem) const {
  const PortEntry& port = op_.inputs[index];
  const OrtValue* value = nullptr;
  check(api_, api::KernelContext_GetInput(api_, context, index, &value));
  switch (port.role) {
    case Role::current:
      problem.current = data_of<int32_t>(api_, value);
      break;
    case Role::recurrent_weight:
      require_shape(port, shape_of(api_, value), {problem.neurons, problem.neurons});
      problem.recurrent_weight = data_of<int32_t>(api_, value);
      break;
    case Role::constant:
      problem.constants[port.slot] = constant_of(port, value, features_of(shape));
      break;
    case Role::state:
      require_shape(port, shape_of(api_, value), state_shape_of(shape));
      problem.states_in[port.slot] = data_of<int32_t>(api_, value);
      break;
    case Role::last_spikes:
      require_shape(port, shape_of(api_, value), state_shape_of(shape));
      problem.last_spikes_in = data_of<uint8_t>(api_, value);
      break;
    case Role::spikes:
    case Role::membrane:
      fail(std::string("'") + port.name + "' cannot be an input");
  }
}

void Kernel::allocate_output(size_t index, OrtKernelContext* context, const Shape& shape,
                             Problem& problem) const {
  const PortEntry& port = op_.outputs[index];
  const bool timed = port.role == Role::spikes || port.role == Role::membrane;
  const Shape wanted = timed ? shape : state_shape_of(shape);
  OrtValue* value = nullptr;
  check(api_, api::KernelContext_GetOutput(api_, context, index, wanted.data(), wanted.size(),
                                           &value));
  if (port.role == Role::spikes) {
    problem.spikes = data_of<uint8_t>(api_, value);
  } else if (port.role == Role::membrane) {
    problem.membrane = data_of<int32_t>(api_, value);
  } else if (port.role == Role::last_spikes) {
    problem.last_spikes_out = data_of<uint8_t>(api_, value);
  } else {
    problem.states_out[port.slot] = data_of<int32_t>(api_, value);
  }
}

void Kernel::compute(OrtKernelContext* context) const {
  const OrtValue* current = nullptr;
  check(api_, api::KernelContext_GetInput(api_, context, 0, &current));
  const Shape shape = shape_of(api_, current);
  if (shape.size() < 2) {
    fail("input 'current' has shape " + text_of(shape) +
         ", must have time and batch first: [T, B, ...]");
  }
  Problem problem = {};
  problem.neuron = op_.neuron;
  for (int slot = 0; slot < attribute::count; ++slot) {
    problem.attributes[slot] = attributes_[slot];
  }
  problem.steps = shape[0];
  problem.batch = shape[1];
  problem.neurons = product(features_of(shape));
  for (size_t k = 0; k < op_.inputs.size; ++k) read_input(k, context, shape, problem);
  for (size_t k = 0; k < op_.outputs.size; ++k) allocate_output(k, context, shape, problem);
  for (const StateEntry& entry : op_.states) {
    if (entry.initial == kStartsAtZero) continue;
    problem.initial[entry.slot] = problem.constants[entry.initial];
  }
  kernels_.prepare(problem);
  run_parallel(api_, context, kernels_, problem);
}

}  // namespace snnquant
