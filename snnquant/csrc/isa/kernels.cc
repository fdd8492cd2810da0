// Compiled once per instruction set, with the flags and the namespace of each.
#include "../core/kernels.h"

#include "exact_steps.h"

namespace snnquant {
namespace SNNQUANT_ISA {

namespace {

void run_sharing(const Problem& problem, int64_t first, int64_t last, void* scratch) {
  run(problem, shared_exact_step(problem.neuron), first, last, scratch);
}

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {SNNQUANT_STRING(SNNQUANT_ISA), prepare, scratch_bytes, run_sharing};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
