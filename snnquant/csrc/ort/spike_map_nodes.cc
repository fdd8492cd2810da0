#include "spike_map_nodes.h"

namespace snnquant {
namespace {

// Bytes that are worth a task of their own.
constexpr int64_t kTaskBytes = 1 << 17;

// Work on 0..total-1, cut into blocks.
template <class Body>
class BlockWork : public ParallelWork {
 public:
  BlockWork(int64_t total, int64_t block, const Body& body)
      : total_(total), block_(block > 0 ? block : 1), body_(body) {}
  int64_t blocks() const { return (total_ + block_ - 1) / block_; }
  void run(int64_t index, void*) const override {
    const int64_t first = index * block_;
    body_(first, total_ - first < block_ ? total_ : first + block_);
  }

 private:
  int64_t total_, block_;
  Body body_;
};

template <class Body>
void run_blocks(const OrtApi* api, OrtKernelContext* context, int64_t total, int64_t block,
                const Body& body) {
  const BlockWork<Body> work(total, block, body);
  run_parallel(api, context, work, work.blocks(), 0);
}

}  // namespace

PoolNode::PoolNode(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info)
    : Node(api, op, isa, info) {
  const std::string wrong =
      window_.read(list_of(list_attribute::kernel_shape), list_of(list_attribute::strides),
                   list_of(list_attribute::dilations), list_of(list_attribute::pads));
  if (!wrong.empty()) fail(wrong);
}

void PoolNode::compute(OrtKernelContext* context) const {
  const Shape shape = shape_of(api_, input(context, 0));
  if (shape.size() < window_.axes + 2) {
    fail("input 'input' has shape " + text_of(shape) + ", must be [..., " +
         (window_.axes == 2 ? "Y, X, C]" : "X, C]"));
  }
  const size_t first_axis = shape.size() - 1 - window_.axes;
  Shape out(shape.begin(), shape.begin() + static_cast<int64_t>(first_axis));
  PoolCall call = {};
  call.y = window_.y;
  call.x = window_.x;
  call.map.batch = product(out);
  window_.measure(shape, first_axis, &call.map, &out);
  call.channels = shape.back();
  out.push_back(call.channels);
  call.sums = op_.family == Family::spike_sum_pool;
  call.input = data_of<uint8_t>(api_, input(context, 0));
  call.output = data_of<uint8_t>(api_, output(context, 0, out));
  const int64_t row = call.map.out_x * call.channels;
  if (row == 0) return;
  const SpikeMapKernels& kernels = isa_.spike_maps;
  run_blocks(api_, context, call.map.batch * call.map.out_y, kTaskBytes / row,
             [&](int64_t first, int64_t last) { kernels.pool(call, first, last); });
}

void AddNode::compute(OrtKernelContext* context) const {
  const Shape shape = shape_of(api_, input(context, 0));
  require_shape(op_.inputs[1], shape_of(api_, input(context, 1)), shape, "other input");
  const uint8_t* a = data_of<uint8_t>(api_, input(context, 0));
  const uint8_t* b = data_of<uint8_t>(api_, input(context, 1));
  uint8_t* out = data_of<uint8_t>(api_, output(context, 0, shape));
  const SpikeMapKernels& kernels = isa_.spike_maps;
  run_blocks(api_, context, product(shape), kTaskBytes,
             [&](int64_t first, int64_t last) { kernels.add(a, b, out, first, last); });
}

void TimeSumNode::compute(OrtKernelContext* context) const {
  const Shape shape = shape_of(api_, input(context, 0));
  if (shape.empty()) fail("input 'input' has no axes, must be [T, ...]");
  const Shape rest(shape.begin() + 1, shape.end());
  const uint8_t* values = data_of<uint8_t>(api_, input(context, 0));
  int32_t* out = data_of<int32_t>(api_, output(context, 0, rest));
  const int64_t size = product(rest), steps = shape[0];
  const SpikeMapKernels& kernels = isa_.spike_maps;
  run_blocks(api_, context, size, kTaskBytes / (steps + 4), [&](int64_t first, int64_t last) {
    kernels.time_sum(values, steps, size, out, first, last);
  });
}

}  // namespace snnquant
