//! Keyed hashing of names and record data.

/// Returns a hash of bytes, keyed by `seed`.
///
/// Names are hashed with a random seed, so that nobody can register names that collide.
#[inline]
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        state = mix(state ^ word, FACTOR);
    }
    let mut last = [0; 8];
    let rest = chunks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    mix(state ^ u64::from_le_bytes(last), FACTOR ^ seed.rotate_left(32))
}

/// Multiplies to 128 bits and XORs the halves: the mixing step of wyhash.
#[inline]
pub fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}
