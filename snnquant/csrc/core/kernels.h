// The kernels of this instruction set: every neuron, and which of its implementations runs.
//
// To add a neuron: write its step beside lif.h and add its case to exact_step_of().
#pragma once

#include <cstdint>

#include "cubalif.h"
#include "exact.h"
#include "extendedlif.h"
#include "fast_lif_run.h"
#include "isa_namespace.h"
#include "li.h"
#include "lif.h"
#include "narrow.h"
#include "problem.h"

namespace snnquant {
namespace SNNQUANT_ISA {

inline void prepare(Problem& problem) { problem.fits_int32 = lif_fits_int32(problem); }

inline int64_t scratch_bytes(const Problem& problem) {
  return problem.fits_int32 ? fast_lif_scratch_bytes() : exact_scratch_bytes(problem);
}

inline ExactStep exact_step_of(neuron::Slot neuron) {
  switch (neuron) {
    case neuron::LIF:
      return exact_step<Lif>;
    case neuron::CubaLIF:
      return exact_step<CubaLif>;
    case neuron::ExtendedLIF:
      return exact_step<ExtendedLif>;
    case neuron::LI:
      return exact_step<Li>;
    case neuron::count:
      break;
  }
  return nullptr;
}

inline void run(const Problem& problem, ExactStep exact, int64_t first, int64_t last,
                void* scratch) {
  if (problem.fits_int32) return run_fast_lif(problem, first, last, scratch);
  run_exact(problem, exact, first, last, scratch);
}

inline void run(const Problem& problem, int64_t first, int64_t last, void* scratch) {
  run(problem, exact_step_of(problem.neuron), first, last, scratch);
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
