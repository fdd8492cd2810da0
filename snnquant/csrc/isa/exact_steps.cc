#include "exact_steps.h"

#include "../core/kernels.h"

namespace snnquant {

ExactStep shared_exact_step(neuron::Slot neuron) { return baseline::exact_step_of(neuron); }

}  // namespace snnquant
