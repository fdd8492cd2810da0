// How fast the machine is at most: runs the peak loops so many rounds and tells what they did.
#pragma once

#include "node.h"

namespace snnquant {

class PeakNode : public Node {
 public:
  PeakNode(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info)
      : Node(api, op, isa, info) {}

  // The operations are counted in thousands.
  void compute(OrtKernelContext* context) const override {
    const int32_t rounds = *data_of<int32_t>(api_, input(context, 0));
    if (rounds < 0) fail("input 'rounds' is " + std::to_string(rounds) + ", must not be negative");
    int32_t result = 0;
    const auto run = int_of(attribute::kind) == 0 ? isa_.peaks.dense : isa_.peaks.events;
    const int64_t operations = run(rounds, &result);
    *data_of<int32_t>(api_, output(context, 0, {1})) = static_cast<int32_t>(operations / 1000);
    *data_of<int32_t>(api_, output(context, 1, {1})) = result;
  }
};

}  // namespace snnquant
