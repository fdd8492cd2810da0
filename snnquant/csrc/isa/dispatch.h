// Which kernels this processor can run.
//
// To add an instruction set:
//
// 1. in CMakeLists.txt, give its flags and compile `kernels` (neurons) and `layers` for it, or one of
//    the two: a candidate may take the other from another set;
// 2. in dispatch.cc, declare them, write has_<isa>(), and add it to kCandidates, whose order is that
//    of preference;
// 3. in core/vectors.h, name it by a macro and say how wide its vectors are. All else runs then; what
//    it has instructions for gets a branch where the macros of others are tested: core/dot.h first,
//    events.h, gather.h, and kCosts in layer_run.h, which tests/bench/crossover.py measures;
// 4. list its flags in tests/native/test_layers.py and its name in README.md; the tests compare all
//    that the machine can run.
#pragma once

#include <string>

#include "../core/peak_kernels.h"
#include "../core/problem.h"
#include "../core/spike_maps.h"
#include "../core/synapse.h"

namespace snnquant {

// Name of the environment variable that overrides the choice.
constexpr char kIsaVariable[] = "SNNQUANT_ISA";

// All kernels of one instruction set.
struct Isa {
  const char* name;
  const Kernels& neurons;
  const LayerKernels& layers;
  const SpikeMapKernels& spike_maps;
  const PeakKernels& peaks;
};

// Returns the kernels of the best instruction set that the processor has, or the one that the
// environment asks for. Where that one is unknown or unsupported, returns null and says why.
const Isa* select_isa(std::string* problem);

}  // namespace snnquant
