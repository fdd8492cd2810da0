// The exact steps that all instruction sets share: scalar code, which no wider vectors make faster.
#pragma once

#include "../core/problem.h"

namespace snnquant {

ExactStep shared_exact_step(neuron::Slot neuron);

}  // namespace snnquant
