//! Any bytes: read right or refused, as the reference implementation does.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};
use tilewright::weights::{Malformed, Weights, WeightsError};

use crate::checkpoint::{MINI, Tensor, bytes_of, file_of, raw};

static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let tensor = |dtype, shape: &[usize]| {
        let values = vec![0.5; shape.iter().product()];
        Tensor { dtype, shape: shape.to_vec(), bytes: bytes_of(dtype, &values) }
    };
    file_of(
        &[
            ("encoder.conv1.bias".to_owned(), tensor(Dtype::F32, &[8])),
            ("encoder.conv2.bias".to_owned(), tensor(Dtype::F16, &[2, 4])),
            ("encoder.none".to_owned(), tensor(Dtype::BF16, &[0])),
            ("encoder.scalar".to_owned(), tensor(Dtype::BF16, &[])),
        ]
        .into(),
    )
});

/// Opens, checks and reads everything; whether it opens is the reference's opinion too.
fn read_all(file: &[u8]) {
    let reference = SafeTensors::deserialize(file);
    match Weights::from_bytes("memory", file.to_vec()) {
        Ok(weights) => {
            let reference = reference.expect("what is read here is read there");
            assert_eq!(weights.names().count(), reference.len());
            let _ = weights.check(&MINI);
            let names: Vec<_> = weights.names().map(str::to_owned).collect();
            for name in names {
                let shape = weights.shape(&name).unwrap().to_vec();
                let _ = weights.tensor(&name, &shape);
            }
        }
        Err(WeightsError::Malformed { reason: Malformed::Duplicate(_), .. }) => {}
        Err(error) => assert!(reference.is_err(), "{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut file = SMALL.clone();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        read_all(&file);
    }

    #[test]
    fn changed_digits_never_panic(at in any::<prop::sample::Index>(), digit in b'0'..=b'9') {
        let mut file = SMALL.clone();
        let digits: Vec<_> = (8..file.len()).filter(|i| file[*i].is_ascii_digit()).collect();
        file[*at.get(&digits)] = digit;
        read_all(&file);
    }

    #[test]
    fn any_header_never_panics(
        tensors in vec(("[ab]{1,2}", 0usize..20, 0usize..20, vec(0usize..4, 0..3), "F32|F16|F4|I8"), 0..4),
        length in 0usize..40,
    ) {
        let entries = tensors.iter().map(|(name, start, end, shape, dtype)| {
            format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
        });
        let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
        read_all(&raw(&header, &vec![0; length]));
    }

    #[test]
    fn any_bytes_never_panic(file in vec(any::<u8>(), 0..256)) {
        read_all(&file);
    }

    #[test]
    fn tensors_are_read_bit_by_bit(
        tensors in prop::collection::btree_map("[a-z.]{1,12}", vec(-1e30f32..1e30, 0..40), 1..6),
        half in any::<bool>(),
    ) {
        let dtype = if half { Dtype::BF16 } else { Dtype::F32 };
        let made = tensors.iter().map(|(name, values)| {
            let shape = vec![values.len()];
            (name.clone(), Tensor { dtype, shape, bytes: bytes_of(dtype, values) })
        });
        let weights = Weights::from_bytes("memory", file_of(&made.collect())).unwrap();
        for (name, values) in &tensors {
            let read = weights.tensor(name, &[values.len()]).unwrap();
            let same = read.iter().zip(values).all(|(read, made)| {
                let made = if half { half::bf16::from_f32(*made).to_f32() } else { *made };
                read.to_bits() == made.to_bits()
            });
            prop_assert!(same && read.len() == values.len());
        }
    }
}
