// Event-driven sums: the weight rows of the active inputs are added up in 16-bit lanes.
//
// A lane holds the weights of several channels at once: of 8-bit weights the low byte is one channel
// plus 128, the high byte another; a byte of narrower ones, widened, is two channels or four. Whole
// lanes are summed, and lanes shifted down by one channel after another; each channel is what its
// own sum has beyond that of the channels above it. All of it is exact modulo 2**16.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa_namespace.h"
#include "synapse.h"
#include "unpack.h"
#include "vectors.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// Events that can be added up in 16 bits whatever the weights: 256 * -128 == -2**15.
constexpr int64_t kSafeEvents = 256;
// Rows that are read at once.
constexpr int64_t kEventUnroll = 4;

// Events of one position and step, and the rows of weights that they have.
struct EventList {
  uint16_t* events;
  int64_t count;
  const uint8_t* rows;

  SNNQUANT_INLINE const uint8_t* row(int64_t k, int64_t row_bytes) const {
    return rows + events[k] * row_bytes;
  }
};

// Makes a list up to whole blocks with the event whose row is all zeros.
SNNQUANT_INLINE EventList whole_blocks(const EventList& list, uint16_t zeros) {
  for (int64_t k = 0; k < kEventUnroll; ++k) list.events[list.count + k] = zeros;
  return list;
}

#if defined(SNNQUANT_HAS_VECTORS)

// Vectors of 16-bit lanes; GCC takes no template parameter for their size.
template <int size>
struct LanesOf;
#define SNNQUANT_LANES_OF(size)                                   \
  template <>                                                     \
  struct LanesOf<size> {                                          \
    typedef int16_t Lanes __attribute__((vector_size(size)));     \
    typedef uint16_t Unsigned __attribute__((vector_size(size))); \
    typedef uint8_t Bytes __attribute__((vector_size(size / 2))); \
    static SNNQUANT_INLINE Lanes read(const uint8_t* row) {       \
      Lanes lanes;                                                \
      std::memcpy(&lanes, row, sizeof lanes);                     \
      return lanes;                                               \
    }                                                             \
    static SNNQUANT_INLINE Lanes widen(const uint8_t* row) {      \
      Bytes bytes;                                                \
      std::memcpy(&bytes, row, sizeof bytes);                     \
      return (Lanes) __builtin_convertvector(bytes, Unsigned);    \
    }                                                             \
  }
SNNQUANT_LANES_OF(16);
#if defined(SNNQUANT_AVX2) || defined(SNNQUANT_AVX512VNNI)
SNNQUANT_LANES_OF(32);
#endif
#if defined(SNNQUANT_AVX512VNNI)
SNNQUANT_LANES_OF(64);
#endif
#undef SNNQUANT_LANES_OF

// Bytes of one tile in a row, and the vectors of 16-bit lanes that hold it.
template <int bits>
struct TileRow {
  static constexpr int kBytes = static_cast<int>(kTile) * bits / 8;
  // 8-bit weights fill lanes with two bytes; narrower ones are widened from one byte.
  static constexpr int kLanes = bits == 8 ? kBytes / 2 : kBytes;
  static constexpr int kSize = kLanes * 2 < kVectorBytes ? kLanes * 2 : kVectorBytes;
  static constexpr int kVectors = kLanes * 2 / kSize;
  static constexpr int kStep = kBytes / kVectors;  // bytes of weights per vector
  using Lanes = typename LanesOf<kSize>::Lanes;
  using Sums = typename LanesOf<kSize>::Unsigned;  // which may wrap

  static SNNQUANT_INLINE Lanes read(const uint8_t* row) {
    if constexpr (bits == 8) return LanesOf<kSize>::read(row);
    return LanesOf<kSize>::widen(row);
  }
};

// sums[tile][channel] of the tiles that begin `skip` bytes into the rows.
template <int bits, int tiles>
SNNQUANT_INLINE void gather_tiles(const EventList& list, int64_t row_bytes, int64_t skip,
                                  int16_t* sums) {
  using Row = TileRow<bits>;
  using Lanes = typename Row::Lanes;
  using Sums = typename Row::Sums;
  constexpr int kVectors = Row::kVectors * tiles;
  constexpr int kFields = 8 / (bits == 8 ? 4 : bits);  // channels per lane
  Sums part[kFields][kVectors] = {};
  for (int64_t k = 0; k < list.count; k += kEventUnroll) {
    SNNQUANT_UNROLL
    for (int u = 0; u < kEventUnroll; ++u) {
      const uint8_t* row = list.row(k + u, row_bytes) + skip;
      SNNQUANT_UNROLL
      for (int j = 0; j < kVectors; ++j) {
        const Lanes lanes = Row::read(row + j * Row::kStep);
        part[0][j] += (Sums)lanes;
        SNNQUANT_UNROLL
        for (int f = 1; f < kFields; ++f) part[f][j] += (Sums)(lanes >> (bits * f));
      }
    }
  }
  const int64_t count = (list.count + kEventUnroll - 1) / kEventUnroll * kEventUnroll;
  // Unsigned fields carry a bias per event; of 8-bit weights the high byte is signed already.
  const auto bias = static_cast<uint16_t>(count << (bits - 1));
  SNNQUANT_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    SNNQUANT_UNROLL
    for (int v = 0; v < Row::kVectors; ++v) {
      const int j = tile * Row::kVectors + v;
      SNNQUANT_UNROLL
      for (int f = 0; f < kFields; ++f) {
        Sums sum = part[f][j];
        if (f + 1 < kFields) sum -= part[f + 1][j] << bits;
        if (bits != 8 || f == 0) sum -= bias;
        std::memcpy(sums + tile * kTile + f * Row::kLanes + v * (Row::kSize / 2), &sum, sizeof sum);
      }
    }
  }
}

// Tiles that are added up in one pass over the events, as registers allow.
constexpr int kGatherTiles = kVectorBytes == 64 ? 4 : 2;

template <int bits>
void gather_all(const EventList& list, int64_t row_bytes, int64_t tiles, int16_t* sums) {
  constexpr int kBytes = TileRow<bits>::kBytes;
  int64_t tile = 0;
  if constexpr (kGatherTiles == 4) {
    for (; tile + 4 <= tiles; tile += 4) {
      gather_tiles<bits, 4>(list, row_bytes, tile * kBytes, sums + tile * kTile);
    }
  }
  for (; tile + 2 <= tiles; tile += 2) {
    gather_tiles<bits, 2>(list, row_bytes, tile * kBytes, sums + tile * kTile);
  }
  for (; tile < tiles; ++tile) {
    gather_tiles<bits, 1>(list, row_bytes, tile * kBytes, sums + tile * kTile);
  }
}

#else

// One weight of a row: of the tile's channel c.
inline int32_t row_weight(const uint8_t* row, int bits, int64_t c) {
  const int64_t tile_bytes = kTile * bits / 8, within = c % kTile;
  const uint8_t* tile = row + c / kTile * tile_bytes;
  if (bits != 8) return field_of(tile[within % tile_bytes], bits, within / tile_bytes);
  const uint8_t byte = tile[row_place(within)];
  return within < kTile / 2 ? byte - 128 : static_cast<int8_t>(byte);
}

template <int bits>
void gather_all(const EventList& list, int64_t row_bytes, int64_t tiles, int16_t* sums) {
  for (int64_t c = 0; c < tiles * kTile; ++c) {
    int32_t sum = 0;
    for (int64_t k = 0; k < list.count; ++k) sum += row_weight(list.row(k, row_bytes), bits, c);
    sums[c] = static_cast<int16_t>(sum);
  }
}

#endif

// sums[tile][channel] of the rows of all events, modulo 2**16; lists end in whole blocks.
inline void gather_events(const PackedWeights& weights, const EventList& list, int64_t tiles,
                          int16_t* sums) {
  if (weights.bits == 8) {
    gather_all<8>(list, weights.row_bytes, tiles, sums);
  } else if (weights.bits == 4) {
    gather_all<4>(list, weights.row_bytes, tiles, sums);
  } else {
    gather_all<2>(list, weights.row_bytes, tiles, sums);
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
