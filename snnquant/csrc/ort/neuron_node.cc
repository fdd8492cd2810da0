#include "neuron_node.h"

namespace snnquant {
namespace {

constexpr char kCurrent[] = "current";

// Neuron-steps that are worth a task of their own.
constexpr int64_t kTaskInt32 = 1 << 17;
constexpr int64_t kTaskExact = 1 << 13;
// Blocks start at multiples of this, so that threads share no cache line of spikes.
constexpr int64_t kBlockUnit = 64;

// Neurons per task; recurrent neurons of one batch element stay together.
int64_t block_size(const Problem& problem) {
  const int64_t task = problem.fits_int32 ? kTaskInt32 : kTaskExact;
  const int64_t steps = problem.steps > 0 ? problem.steps : 1;
  const int64_t unit = problem.recurrent_weight != nullptr ? problem.neurons : kBlockUnit;
  return ((task + steps - 1) / steps + unit - 1) / unit * unit;
}

// A call, cut into blocks of neurons.
struct NeuronWork : ParallelWork {
  const Kernels& kernels;
  const Problem& problem;
  const int64_t total, block;

  NeuronWork(const Kernels& the_kernels, const Problem& the_problem)
      : kernels(the_kernels),
        problem(the_problem),
        total(the_problem.batch * the_problem.neurons),
        block(total == 0 ? 1 : block_size(the_problem)) {}

  void run(int64_t index, void* scratch) const override {
    const int64_t first = index * block;
    const int64_t last = total - first < block ? total : first + block;
    kernels.run(problem, first, last, scratch);
  }
};

Shape features_of(const Shape& current) { return Shape(current.begin() + 2, current.end()); }

Shape state_shape_of(const Shape& current) { return Shape(current.begin() + 1, current.end()); }

}  // namespace

Constant NeuronNode::constant_of(const PortEntry& port, const OrtValue* value,
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

void NeuronNode::read_input(size_t index, OrtKernelContext* context, const Shape& shape,
                            Problem& problem) const {
  const PortEntry& port = op_.inputs[index];
  const OrtValue* value = input(context, index);
  switch (port.role) {
    case Role::current:
      problem.current = data_of<int32_t>(api_, value);
      break;
    case Role::recurrent_weight:
      require_shape(port, shape_of(api_, value), {problem.neurons, problem.neurons}, kCurrent);
      problem.recurrent_weight = data_of<int32_t>(api_, value);
      break;
    case Role::constant:
      problem.constants[port.slot] = constant_of(port, value, features_of(shape));
      break;
    case Role::state:
      require_shape(port, shape_of(api_, value), state_shape_of(shape), kCurrent);
      problem.states_in[port.slot] = data_of<int32_t>(api_, value);
      break;
    case Role::last_spikes:
      require_shape(port, shape_of(api_, value), state_shape_of(shape), kCurrent);
      problem.last_spikes_in = data_of<uint8_t>(api_, value);
      break;
    default:
      fail(std::string("'") + port.name + "' cannot be an input");
  }
}

void NeuronNode::allocate_output(size_t index, OrtKernelContext* context, const Shape& shape,
                                 Problem& problem) const {
  const PortEntry& port = op_.outputs[index];
  const bool timed = port.role == Role::spikes || port.role == Role::membrane;
  const Shape wanted = timed ? shape : state_shape_of(shape);
  OrtValue* value = output(context, index, wanted);
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

void NeuronNode::compute(OrtKernelContext* context) const {
  const Shape shape = shape_of(api_, input(context, 0));
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
  isa_.neurons.prepare(problem);
  run(context, problem);
}

void NeuronNode::run(OrtKernelContext* context, const Problem& problem) const {
  const NeuronWork work(isa_.neurons, problem);
  if (work.total == 0) return;
  run_parallel(api_, context, work, (work.total + work.block - 1) / work.block,
               isa_.neurons.scratch_bytes(problem));
}

}  // namespace snnquant
