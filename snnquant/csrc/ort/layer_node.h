// A fused layer: synapse and neurons in one op, or a synapse alone.
#pragma once

#include "../core/layer.h"
#include "node.h"
#include "window.h"

namespace snnquant {

class LayerNode : public Node {
 public:
  // Packs the weights where the model holds them as constants; throws Failure.
  LayerNode(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info);

  void compute(OrtKernelContext* context) const override;

 private:
  // The inputs that describe the layer, by their index; null where they are not known.
  using Held = std::vector<const OrtValue*>;

  bool describes_layer(const PortEntry& port) const;
  void read_shape();
  std::unique_ptr<PreparedLayer> prepare(const Held& held) const;
  LayerSource source_of(const Held& held) const;
  Constant constant_of(const PortEntry& port, const OrtValue* value, int64_t channels) const;
  LayerCall call_of(OrtKernelContext* context, const Layer& layer, Shape* leading,
                    Shape* spatial) const;
  [[noreturn]] void fail_of_padding() const;
  void read_input(size_t index, OrtKernelContext* context, const Shape& timed, const Shape& state,
                  LayerCall* call) const;
  void allocate_output(size_t index, OrtKernelContext* context, const Shape& timed,
                       const Shape& state, LayerCall* call) const;

  // No steps leave the states as they are.
  void keep_states(const LayerCall& call, int64_t cells) const;

  SynapseShape shape_ = {};
  Window window_;
  std::unique_ptr<PreparedLayer> prepared_;  // null: some weights are computed
};

}  // namespace snnquant
