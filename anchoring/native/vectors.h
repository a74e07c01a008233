// Vectors of floats with PyTorch's rules for NaN, for the code that anchoring/native writes. For GCC and clang.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float V __attribute__((vector_size(4 * W)));
typedef int M __attribute__((vector_size(4 * W)));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

struct FlushDenormals {  // while it lives, denormal numbers count as 0, since Intel's processors take 100 cycles for each
#if defined(__SSE__)
  unsigned before = __builtin_ia32_stmxcsr();
  FlushDenormals() { __builtin_ia32_ldmxcsr(before | 0x8040); }
  ~FlushDenormals() { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
  uint64_t before;
  FlushDenormals() { asm volatile("mrs %0, fpcr" : "=r"(before)); set(before | 1 << 24); }
  ~FlushDenormals() { set(before); }
  static void set(uint64_t x) { asm volatile("msr fpcr, %0" ::"r"(x)); }
#endif
};

INLINE V splat(float x) { return x - V{}; }  // x + 0 would not be optimised away, since -0 + 0 is 0
INLINE M splat(int x) { return M{} + x; }
INLINE M splat(bool x) { return M{} - (int)x; }
INLINE V load(const float* p) { V v; memcpy(&v, p, sizeof v); return v; }
INLINE M load(const int* p) { M v; memcpy(&v, p, sizeof v); return v; }
template <class T, class X> INLINE void store(X* p, T v) { memcpy(p, &v, sizeof v); }
template <class T, class X> INLINE void store(X* p, T v, int n) {  // the first n lanes
  if (n >= W) store(p, v);
  else for (int l = 0; l < n; l++) p[l] = v[l];
}
template <class F> INLINE V lanes(F f) { V v; for (int l = 0; l < W; l++) v[l] = f(l); return v; }
template <class F> INLINE M mask_lanes(F f) { M v; for (int l = 0; l < W; l++) v[l] = -(int)f(l); return v; }
INLINE M first_lanes(int n) { M v; for (int l = 0; l < W; l++) v[l] = l < n ? -1 : 0; return v; }

INLINE V where(M m, V a, V b) { return m ? a : b; }
INLINE M where(M m, M a, M b) { return (m & a) | (~m & b); }
template <class T> INLINE T where(bool m, T a, T b) { return m ? a : b; }
INLINE V to_float(M m) { return m ? splat(1.f) : splat(0.f); }
INLINE float to_float(bool m) { return m; }
INLINE float to_float(int64_t i) { return (float)i; }
INLINE M not_(M m) { return ~m; }
INLINE bool not_(bool m) { return !m; }
template <class T> INLINE T and_(T a, T b) { return a & b; }
template <class T> INLINE T or_(T a, T b) { return a | b; }
template <class T> INLINE T xor_(T a, T b) { return a ^ b; }

#if defined(__AVX512F__)  // instructions that compilers do not find by themselves
#include <immintrin.h>
INLINE V at_least(V x, V low) { return (V)_mm512_max_ps((__m512)low, (__m512)x); }  // if one is NaN: the second
INLINE V at_most(V x, V high) { return (V)_mm512_min_ps((__m512)high, (__m512)x); }
INLINE V sqrt_(V x) { return (V)_mm512_sqrt_ps((__m512)x); }
INLINE V scale(V x, V n) { return (V)_mm512_scalef_ps((__m512)x, (__m512)n); }  // x 2^n
INLINE V ratio(V p, V q) {  // p / q by Newton's method, since division is slow; q must be neither tiny nor huge
  V r = (V)_mm512_rcp14_ps((__m512)q);
  return p * (r + r * (1.f - q * r));
}
#else
INLINE V at_least(V x, V low) { return low > x ? low : x; }
INLINE V at_most(V x, V high) { return high < x ? high : x; }
INLINE V sqrt_(V x) { for (int l = 0; l < W; l++) x[l] = std::sqrt(x[l]); return x; }
INLINE V ratio(V p, V q) { return p / q; }
INLINE V scale(V x, V n) {
  M i = __builtin_convertvector(n == n ? n : splat(0.f), M), half = i >> 1;
  return x * (V)((half + 127) << 23) * (V)((i - half + 127) << 23);  // in two factors, so that results may be denormal
}
#endif
INLINE float at_least(float x, float low) { return low > x ? low : x; }
INLINE float at_most(float x, float high) { return high < x ? high : x; }
INLINE V max_(V a, V b) { return ((a > b) | (a != a)) ? a : b; }
INLINE V min_(V a, V b) { return ((a < b) | (a != a)) ? a : b; }
template <class T> INLINE T max_(T a, T b) { return a > b || a != a ? a : b; }
template <class T> INLINE T min_(T a, T b) { return a < b || a != a ? a : b; }
INLINE V abs_(V x) { return (V)((M)x & 0x7fffffff); }
INLINE float abs_(float x) { return std::fabs(x); }
INLINE float sqrt_(float x) { return std::sqrt(x); }
INLINE V sign_(V x) { return x > 0.f ? splat(1.f) : x < 0.f ? splat(-1.f) : splat(0.f); }  // 0 for NaN
INLINE float sign_(float x) { return (x > 0) - (x < 0); }
template <int K, class T> INLINE T power(T x) {
  if constexpr (K == 1) return x;
  else if constexpr (K % 2 == 0) return power<K / 2>(x * x);
  else return x * power<K / 2>(x * x);
}

#if defined(__AVX512F__)
INLINE V exp_(V x) {  // 2^(n / 16) from a table, times a polynomial of the rest
  const V table = {1.f, 1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f, 1.29683955f, 1.35425555f,
                   1.41421356f, 1.47682615f, 1.54221083f, 1.61049033f, 1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f};
  V t = at_least(at_most(x, splat(89.f)), splat(-105.f));
  V shifted = t * 23.0831206542234f + 12582912.f;  // n is in the lowest bits
  V n = shifted - 12582912.f;
  V r = (t - n * 0.0433197021484375f) - n * 1.996636559e-6f;  // ln 2 / 16 in two parts
  V p = (r * 0.16666667f + 0.5f) * (r * r) + r;
  V part = (V)_mm512_permutexvar_ps((__m512i)shifted, (__m512)table);
  return scale(part + part * p, n * 0.0625f);  // 2^floor(n / 16)
}
#else
INLINE V exp_(V x) {  // as Cephes' expf
  V t = at_least(at_most(x, splat(89.f)), splat(-105.f));
  V n = (t * 1.44269504088896341f + 12582912.f) - 12582912.f;
  V r = (t - n * 0.693359375f) + n * 2.12194440e-4f;
  V p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return scale((p * r) * r + r + 1.f, n);
}
#endif
INLINE V log_(V x) {  // as Cephes' logf
  M tiny = x < 1.17549435e-38f;
  V y = tiny ? x * 8388608.f : x;
  M bits = (M)y;
  M e = ((bits >> 23) & 0xff) - 126;
  V m = (V)((bits & 0x007fffff) | 0x3f000000);
  M low = m < 0.707106781186547524f;
  e = e + low;
  m = (low ? m + m : m) - 1.f;
  V n = __builtin_convertvector(e, V) - (tiny ? splat(23.f) : splat(0.f));
  V z = m * m;
  V p = 7.0376836292e-2f * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  V r = p * m * z - n * 2.12194440e-4f - z * 0.5f;
  r = m + r + n * 0.693359375f;
  r = x == __builtin_inff() ? x : r;
  r = x == 0.f ? splat(-__builtin_inff()) : r;
  return (x < 0.f) | (x != x) ? splat(__builtin_nanf("")) : r;
}
INLINE V tanh_(V x) {  // Eigen's rational approximation
  V t = at_least(at_most(x, splat(7.90531110763549805f)), splat(-7.90531110763549805f));
  V z = t * t;
  V p = z * -2.76076847742355e-16f + 2.00018790482477e-13f;
  p = p * z - 8.60467152213735e-11f;
  p = p * z + 5.12229709037114e-08f;
  p = p * z + 1.48572235717979e-05f;
  p = p * z + 6.37261928875436e-04f;
  p = p * z + 4.89352455891786e-03f;
  V q = z * 1.19825839466702e-06f + 1.18534705686654e-04f;
  q = q * z + 2.26843463243900e-03f;
  q = q * z + 4.89352518554385e-03f;
  return abs_(x) < 0.0004f ? x : t * ratio(p, q);
}
INLINE V erf_(V x) {  // Eigen's rational approximation
  V t = at_least(at_most(x, splat(4.f)), splat(-4.f));
  V z = t * t;
  V p = z * -2.72614225801306e-10f + 2.77068142495902e-08f;
  p = p * z - 2.10102402082508e-06f;
  p = p * z - 5.69250639462346e-05f;
  p = p * z - 7.34990630326855e-04f;
  p = p * z - 2.95459980854025e-03f;
  p = p * z - 1.60960333262415e-02f;
  V q = z * -1.45660718464996e-05f - 2.13374055278905e-04f;
  q = q * z - 1.68282697438203e-03f;
  q = q * z - 7.37332916720468e-03f;
  q = q * z - 1.42647390514189e-02f;
  return t * ratio(p, q);
}
INLINE float exp_(float x) { return exp_(splat(x))[0]; }
INLINE float log_(float x) { return log_(splat(x))[0]; }
INLINE float tanh_(float x) { return tanh_(splat(x))[0]; }
INLINE float erf_(float x) { return erf_(splat(x))[0]; }
template <class T> INLINE T sigmoid_(T x) { return 1.f / (1.f + exp_(-x)); }

#define BY_LANES(NAME) \
  INLINE float NAME##_(float x) { return std::NAME(x); } \
  INLINE V NAME##_(V x) { return lanes([&](int l) { return std::NAME(x[l]); }); }
BY_LANES(log1p) BY_LANES(expm1) BY_LANES(sin) BY_LANES(cos) BY_LANES(atan) BY_LANES(asin) BY_LANES(acos)
BY_LANES(floor) BY_LANES(ceil) BY_LANES(sinh) BY_LANES(cosh) BY_LANES(log2) BY_LANES(exp2) BY_LANES(log10)
INLINE float pow_(float x, float y) { return std::pow(x, y); }
INLINE V pow_(V x, V y) { return lanes([&](int l) { return std::pow(x[l], y[l]); }); }

template <class T> INLINE void copy_row(T* to, const T* from, int64_t stride, int n, int64_t next) {
  for (int i = 0; i < n; i += 64 / sizeof(T)) __builtin_prefetch(from + next + i * stride);  // the next step's
  if (stride == 1) memcpy(to, from, sizeof(T) * n);
  else for (int i = 0; i < n; i++) to[i] = from[i * stride];
}
INLINE int64_t within(int64_t i, int64_t size) {  // negative indices count from the end; clamped to the bounds
  i = i < 0 ? i + size : i;
  return i < 0 ? 0 : i < size ? i : size - 1;
}

// Reductions of two values, reductions of a vector's lanes, and the values that they start from.
struct Sum {
  static constexpr float start = 0;
  template <class T> INLINE T of(T a, T b) { return a + b; }
};
struct Product {
  static constexpr float start = 1;
  template <class T> INLINE T of(T a, T b) { return a * b; }
};
struct Largest {
  static constexpr float start = -__builtin_inff();
  template <class T> INLINE T of(T a, T b) { return max_(a, b); }
};
struct Least {
  static constexpr float start = __builtin_inff();
  template <class T> INLINE T of(T a, T b) { return min_(a, b); }
};
#if defined(__clang__) || __GNUC__ >= 12
template <int... L> INLINE V shuffle(V a, V b) { return __builtin_shufflevector(a, b, L...); }
#else
template <int... L> INLINE V shuffle(V a, V b) { return __builtin_shuffle(a, b, M{L...}); }
#endif
template <int G, int... L> INLINE V fold_pair(V a, V b, std::integer_sequence<int, L...>) {
  // in groups of G lanes: the sums of a's halves, then the sums of b's halves
  return shuffle<(L % G < G / 2 ? L : W + L - G / 2)...>(a, b) + shuffle<(L % G < G / 2 ? L + G / 2 : W + L)...>(a, b);
}
template <int G = W> INLINE V sums_across(V* v) {  // of W vectors: lane l of the result is the sum of v[l]'s lanes
  V half[G / 2];
  UNROLL for (int i = 0; i < G / 2; i++) half[i] = fold_pair<G>(v[i], v[i + G / 2], std::make_integer_sequence<int, W>());
  if constexpr (G == 2) return half[0];
  else return sums_across<G / 2>(half);
}
template <class R, int H, int... L> INLINE V turn(V v, std::integer_sequence<int, L...>) {
  return R::of(v, shuffle<((L + H) % W)...>(v, v));
}
template <class R, int H = W / 2> INLINE float across(V v) {
  v = turn<R, H>(v, std::make_integer_sequence<int, W>());
  if constexpr (H == 1) return v[0];
  else return across<R, H / 2>(v);
}

// c[n][v] = bias[n] + sum over k of a[k][v] b[k][n], in vectors of v. Strides are A, BK, BN, C and BIAS.
template <int T, int U, int K, int A, int BK, int BN, int C, int BIAS>
INLINE void product_tile(float* c, const float* a, const float* b, const float* bias, int last) {
  V sum[T][U];
  UNROLL for (int t = 0; t < T; t++) UNROLL for (int u = 0; u < U; u++) sum[t][u] = splat(bias ? bias[t * BIAS] : 0.f);
  for (int k = 0; k < K; k++) {
    V x[U];
    UNROLL for (int u = 0; u < U; u++) x[u] = load(a + k * A + u * W);
    UNROLL for (int t = 0; t < T; t++) {
      V y = splat(b[k * BK + t * BN]);
      UNROLL for (int u = 0; u < U; u++) sum[t][u] += x[u] * y;
    }
  }
  UNROLL for (int t = 0; t < T; t++) UNROLL for (int u = 0; u < U; u++) store(c + t * C + u * W, sum[t][u]);
}
template <int T, int U, int SIZE, int N, int K, int A, int BK, int BN, int C, int BIAS>
INLINE void product_rows(float* c, const float* a, const float* b, const float* bias) {
  int n = 0;
  for (; n + T <= N; n += T)
    product_tile<T, U, K, A, BK, BN, C, BIAS>(c + n * C, a, b + n * BN, bias ? bias + n * BIAS : bias, 0);
  if constexpr (N % T != 0)
    product_tile<N % T, U, K, A, BK, BN, C, BIAS>(c + n * C, a, b + n * BN, bias ? bias + n * BIAS : bias, 0);
}
template <int SIZE, int N, int K, int A, int BK, int BN, int C, int BIAS>
INLINE void product(float* c, const float* a, const float* b, const float* bias) {
  constexpr int vectors = (SIZE + W - 1) / W;
  int v = 0;
  for (; v + 4 <= vectors; v += 4)
    product_rows<4, 4, SIZE, N, K, A, BK, BN, C, BIAS>(c + v * W, a + v * W, b, bias);
  if constexpr (vectors % 4 != 0)
    product_rows<4, vectors % 4, SIZE, N, K, A, BK, BN, C, BIAS>(c + v * W, a + v * W, b, bias);
}

// c[m][n] = sum over v of a[m][v] b[n][v].
template <int T, int U, int SIZE, int A, int B, int CM, int CN>
INLINE void dots_tile(float* c, const float* a, const float* b) {
  V sum[T][U] = {};
  for (int v = 0; v < SIZE; v += W) {
    V x[T], y[U];
    UNROLL for (int t = 0; t < T; t++) x[t] = load(a + t * A + v);
    UNROLL for (int u = 0; u < U; u++) y[u] = load(b + u * B + v);
    if (SIZE % W != 0 && v + W > SIZE) {
      M there = first_lanes(SIZE % W);
      UNROLL for (int t = 0; t < T; t++) x[t] = where(there, x[t], V{});
      UNROLL for (int u = 0; u < U; u++) y[u] = where(there, y[u], V{});
    }
    UNROLL for (int t = 0; t < T; t++) UNROLL for (int u = 0; u < U; u++) sum[t][u] += x[t] * y[u];
  }
  constexpr int groups = (T * U + W - 1) / W;
  V all[groups * W] = {};
  UNROLL for (int t = 0; t < T; t++) UNROLL for (int u = 0; u < U; u++) all[t * U + u] = sum[t][u];
  UNROLL for (int g = 0; g < groups; g++) {
    V totals = sums_across(all + g * W);
    UNROLL for (int l = 0; l < W; l++)
      if (int i = g * W + l; i < T * U) c[i / U * CM + i % U * CN] = totals[l];
  }
}
template <int T, int SIZE, int N, int A, int B, int CM, int CN>
INLINE void dots_rows(float* c, const float* a, const float* b) {
  int n = 0;
  for (; n + 4 <= N; n += 4) dots_tile<T, 4, SIZE, A, B, CM, CN>(c + n * CN, a, b + n * B);
  if constexpr (N % 4 != 0) dots_tile<T, N % 4, SIZE, A, B, CM, CN>(c + n * CN, a, b + n * B);
}
template <int SIZE, int MM, int N, int A, int B, int CM, int CN>
INLINE void dots(float* c, const float* a, const float* b) {
  int m = 0;
  for (; m + 4 <= MM; m += 4) dots_rows<4, SIZE, N, A, B, CM, CN>(c + m * CM, a + m * A, b);
  if constexpr (MM % 4 != 0) dots_rows<MM % 4, SIZE, N, A, B, CM, CN>(c + m * CM, a + m * A, b);
}
