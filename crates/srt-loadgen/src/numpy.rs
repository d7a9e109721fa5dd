//! The random numbers of Python's and `NumPy`'s classic generators, so that a seed means the same prompts and
//! the same arrival times as in the clients that results are compared with.

const N: usize = 624;
const M: usize = 397;

/// MT19937, seeded as either library seeds it.
#[derive(Debug, Clone)]
struct Twister {
    state: [u32; N],
    next: usize,
}

impl Twister {
    /// The recurrence of Knuth, which `NumPy`'s `seed(integer)` uses.
    fn from_integer(seed: u32) -> Self {
        let mut state = [seed; N];
        for index in 1..N {
            let before = state[index - 1];
            state[index] = 1_812_433_253_u32
                .wrapping_mul(before ^ (before >> 30))
                .wrapping_add(u32::try_from(index).expect("the state is short"));
        }
        Self { state, next: N }
    }

    /// Seeding by a key of words, which Python's `seed(integer)` uses.
    fn from_key(key: &[u32]) -> Self {
        let mut it = Self::from_integer(19_650_218);
        let state = &mut it.state;
        let mut index = 1;
        let mut at = 0;
        for _ in 0..N.max(key.len()) {
            let before = state[index - 1];
            let position = u32::try_from(at).expect("keys are short");
            state[index] = (state[index] ^ (before ^ (before >> 30)).wrapping_mul(1_664_525))
                .wrapping_add(key[at])
                .wrapping_add(position);
            index += 1;
            at = (at + 1) % key.len();
            if index == N {
                state[0] = state[N - 1];
                index = 1;
            }
        }
        for _ in 1..N {
            let before = state[index - 1];
            let position = u32::try_from(index).expect("the state is short");
            state[index] =
                (state[index] ^ (before ^ (before >> 30)).wrapping_mul(1_566_083_941)).wrapping_sub(position);
            index += 1;
            if index == N {
                state[0] = state[N - 1];
                index = 1;
            }
        }
        state[0] = 0x8000_0000;
        it
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == N {
            for index in 0..N {
                let joined = (self.state[index] & 0x8000_0000) | (self.state[(index + 1) % N] & 0x7fff_ffff);
                let twist = if joined & 1 == 0 { 0 } else { 0x9908_b0df };
                self.state[index] = self.state[(index + M) % N] ^ (joined >> 1) ^ twist;
            }
            self.next = 0;
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// Uniform in [0, 1) with 53 bits.
    fn next_f64(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }
}

/// `NumPy`'s classic generator (`numpy.random.seed` and the functions beside it).
#[derive(Debug, Clone)]
pub(crate) struct NumpyRandom {
    twister: Twister,
    /// The second of a pair of normal values, of which only one has been used.
    spare_normal: Option<f64>,
}

impl NumpyRandom {
    pub(crate) fn new(seed: u32) -> Self {
        Self { twister: Twister::from_integer(seed), spare_normal: None }
    }

    /// Uniform in `low..=high`. A range of one value draws nothing.
    pub(crate) fn integer(&mut self, low: u32, high: u32) -> u32 {
        let span = high.saturating_sub(low);
        if span == 0 {
            return low;
        }
        let mask = u32::MAX >> span.leading_zeros();
        loop {
            let value = self.twister.next_u32() & mask;
            if value <= span {
                return low + value;
            }
        }
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.twister.next_f64()).ln()
    }

    /// Normal, by the polar method, which yields two values at a time.
    fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare_normal.take() {
            return value;
        }
        loop {
            let x = 2.0 * self.twister.next_f64() - 1.0;
            let y = 2.0 * self.twister.next_f64() - 1.0;
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare_normal = Some(factor * x);
                return factor * y;
            }
        }
    }

    /// Gamma with mean `shape * scale`.
    pub(crate) fn gamma(&mut self, shape: f64, scale: f64) -> f64 {
        scale * self.standard_gamma(shape)
    }

    #[expect(clippy::float_cmp, reason = "a shape of exactly 1 is another distribution with other draws")]
    fn standard_gamma(&mut self, shape: f64) -> f64 {
        if shape == 1.0 {
            return self.exponential();
        }
        if shape < 1.0 {
            loop {
                let uniform = self.twister.next_f64();
                let exponential = self.exponential();
                if uniform <= 1.0 - shape {
                    let value = uniform.powf(1.0 / shape);
                    if value <= exponential {
                        return value;
                    }
                } else {
                    let tail = -((1.0 - uniform) / shape).ln();
                    let value = (1.0 - shape + shape * tail).powf(1.0 / shape);
                    if value <= exponential + tail {
                        return value;
                    }
                }
            }
        }
        let b = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * b).sqrt();
        loop {
            let (normal, root) = loop {
                let normal = self.normal();
                let root = 1.0 + c * normal;
                if root > 0.0 {
                    break (normal, root);
                }
            };
            let cube = root * root * root;
            let uniform = self.twister.next_f64();
            let square = normal * normal;
            if uniform < 1.0 - 0.0331 * square * square
                || uniform.ln() < 0.5 * square + b * (1.0 - cube + cube.ln())
            {
                return b * cube;
            }
        }
    }
}

/// Python's generator (`random.seed` and `random.shuffle`).
#[derive(Debug, Clone)]
pub(crate) struct PythonRandom {
    twister: Twister,
}

impl PythonRandom {
    pub(crate) fn new(seed: u32) -> Self {
        Self { twister: Twister::from_key(&[seed]) }
    }

    /// Puts `items` in random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(u32::try_from(last + 1).expect("data sets have fewer entries"));
            items.swap(last, other as usize);
        }
    }

    /// Uniform in `0..bound`.
    fn below(&mut self, bound: u32) -> u32 {
        let unused = bound.leading_zeros();
        loop {
            let value = self.twister.next_u32() >> unused;
            if value < bound {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_numpy() {
        let mut random = NumpyRandom::new(0);
        let drawn: Vec<u32> = (0..10).map(|_| random.integer(0, 9)).collect();
        assert_eq!(drawn, [5, 0, 3, 3, 7, 9, 3, 5, 2, 4]);
        assert_eq!(NumpyRandom::new(0).integer(7, 7), 7);
    }

    #[track_caller]
    fn check_gamma(shape: f64, expected: &[f64]) {
        let mut random = NumpyRandom::new(0);
        for &value in expected {
            let drawn = random.gamma(shape, 2.0);
            assert!((drawn - value).abs() < 1e-12 * value, "{drawn} is not {value}");
        }
    }

    #[test]
    fn gamma_values_are_those_of_numpy() {
        // np.random.seed(0); [np.random.gamma(shape, 2.0) for _ in range(4)]
        check_gamma(1.0, &[1.591_749_016_326_22, 2.511_861_525_931_675_7, 1.846_446_291_608_138]);
        check_gamma(0.5, &[0.608_003_779_521_408_9, 0.756_543_440_135_631_1, 0.358_966_778_005_775_2]);
        check_gamma(2.5, &[11.877_401_406_490_16, 5.621_339_283_369_419, 12.484_244_649_797_324]);
    }

    #[test]
    fn a_shuffle_is_that_of_python() {
        // random.seed(0); items = list(range(10)); random.shuffle(items)
        let mut items: Vec<u32> = (0..10).collect();
        PythonRandom::new(0).shuffle(&mut items);
        assert_eq!(items, [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]);
    }
}
