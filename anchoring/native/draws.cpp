// Replicas' samples and labels, from the numbers that NumPy's PCG64 would draw. See anchoring/sampling.py.
#include <algorithm>
#include <cstdint>

struct Pcg64 {  // O'Neill, "PCG", 2014: XSL-RR with 128 bits of state. NumPy takes 32 bits at a time, the lower half first.
  unsigned __int128 state, increment;
  bool kept;
  uint32_t upper;

  uint32_t bits() {
    if (kept) return kept = false, upper;
    constexpr unsigned __int128 multiplier = ((unsigned __int128)2549297995355413924ULL << 64) | 4865540595714422341ULL;
    state = state * multiplier + increment;
    uint64_t mixed = (uint64_t)(state >> 64) ^ (uint64_t)state, turn = state >> 122;
    mixed = mixed >> turn | mixed << (-turn & 63);
    kept = true, upper = mixed >> 32;
    return mixed;
  }
  float uniform() { return (bits() >> 8) * (1.f / 16777216.f); }  // in [0, 1), a multiple of 2^-24
};

template <class T>  // rows of a table: element k of sample b goes to to[b * row + k * element]
static void take(
    const T* table, const int32_t* index, int64_t batch, int64_t size, T* __restrict to, int64_t row, int64_t element) {
  if (row == 1)
    for (int64_t k = 0; k < size; k++)
      for (int64_t b = 0; b < batch; b++) to[k * element + b] = table[index[b] * size + k];
  else
    for (int64_t b = 0; b < batch; b++)
      for (int64_t k = 0; k < size; k++) to[b * row + k * element] = table[index[b] * size + k];
}

static void label_all(  // labels by probability; without tosses, the probabilities themselves
    const float* p, const int32_t* index, const float* toss, int64_t batch, float* __restrict to) {
  if (toss)
    for (int64_t b = 0; b < batch; b++) to[b] = toss[b] < p[index[b]] ? 1.f : 0.f;
  else
    for (int64_t b = 0; b < batch; b++) to[b] = p[index[b]];
}

// Draws for each replica in turn. `generators` has six numbers for each: PCG64's state and increment, lower halves first,
// whether half of its last bits are kept, and that half. `first` is the first sample of each 65,536th of [0, 1), and
// `cumulative` is each sample's end in it. `layout` has six numbers for each table: an element's bytes, a row's elements,
// and the strides of steps, replicas, samples and elements; `label_layout` has three for each label: whether it is
// soft, and the strides of steps and replicas; samples lie side by side. `room` is for batch x (2 + labels) numbers.
extern "C" void draw(
    int64_t steps, int64_t replicas, int64_t batch, uint64_t* generators, const int32_t* first, const float* cumulative,
    int64_t tables, const void** table, void** out, const int64_t* layout, int64_t labels, const float** probability,
    float** label, const int64_t* label_layout, float* room) {
  int32_t* __restrict index = (int32_t*)room;
  float* __restrict uniform = room + batch;
  for (int64_t r = 0; r < replicas; r++) {
    uint64_t* generator = generators + 6 * r;
    auto wide = [&](int at) { return (unsigned __int128)generator[at + 1] << 64 | generator[at]; };
    Pcg64 random{wide(0), wide(2), generator[4] != 0, (uint32_t)generator[5]};
    for (int64_t t = 0; t < steps; t++) {
      for (int64_t b = 0; b < batch; b++)
        for (int64_t n = 0; n <= labels; n++) uniform[n * batch + b] = random.uniform();
      for (int64_t b = 0; b < batch; b++) {
        int part = uniform[b] * 65536;
        int32_t i = first[part], last = first[part + 1];
        if (i < last) i = std::upper_bound(cumulative + i, cumulative + last, uniform[b]) - cumulative;
        index[b] = i;
      }
      for (int64_t n = 0; n < tables; n++) {
        auto [bytes, size, step, replica, row, element] = (const int64_t(&)[6])layout[n * 6];
        int64_t at = t * step + r * replica;
        if (bytes == 4) take((const uint32_t*)table[n], index, batch, size, (uint32_t*)out[n] + at, row, element);
        else take((const uint64_t*)table[n], index, batch, size, (uint64_t*)out[n] + at, row, element);
      }
      for (int64_t n = 0; n < labels; n++) {
        auto [soft, step, replica] = (const int64_t(&)[3])label_layout[n * 3];
        const float* toss = soft ? nullptr : uniform + (n + 1) * batch;
        label_all(probability[n], index, toss, batch, label[n] + t * step + r * replica);
      }
    }
    generator[0] = random.state, generator[1] = random.state >> 64;
    generator[4] = random.kept, generator[5] = random.upper;
  }
}
