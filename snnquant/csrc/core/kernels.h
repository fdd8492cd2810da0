// The kernels of this instruction set: every neuron, and which of its implementations runs.
//
// To add a neuron: write its step beside lif.h and add its case to run().
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
  // The fast LIF may hand a span over to the exact one.
  const int64_t exact = exact_scratch_bytes(problem);
  return problem.fits_int32 ? larger(exact, fast_lif_scratch_bytes()) : exact;
}

inline void run(const Problem& problem, int64_t first, int64_t last, void* scratch) {
  if (problem.fits_int32) return run_fast_lif(problem, first, last, scratch);
  switch (problem.neuron) {
    case neuron::LIF:
      return run_exact<Lif>(problem, first, last, scratch);
    case neuron::CubaLIF:
      return run_exact<CubaLif>(problem, first, last, scratch);
    case neuron::ExtendedLIF:
      return run_exact<ExtendedLif>(problem, first, last, scratch);
    case neuron::LI:
      return run_exact<Li>(problem, first, last, scratch);
    case neuron::count:
      return;
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
