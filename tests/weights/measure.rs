//! How long it takes: `cargo test --release --test weights -- --ignored --nocapture measure`.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use safetensors::Dtype;
use tilewright::weights::{Options, Weights, encoder_tensors};

use crate::checkpoint::{BASE, Folder, Tensor, config, file_of, tensors};

/// The fastest of several runs.
fn best<T>(what: &str, runs: usize, mut run: impl FnMut() -> T) -> T {
    let mut fastest = Duration::MAX;
    let mut last = None;
    for _ in 0..runs {
        let start = Instant::now();
        last = Some(run());
        fastest = fastest.min(start.elapsed());
    }
    println!("{what:<58}{:>9.2} ms", fastest.as_secs_f64() * 1e3);
    last.unwrap()
}

#[test]
#[ignore = "measures, best in release"]
fn measure() {
    println!();
    let all = encoder_tensors(&BASE);
    let read = |weights: &Weights| -> f32 {
        all.iter().map(|(name, shape)| weights.tensor(name, shape).unwrap()[0]).sum()
    };
    best("base encoder, synthetic, all tensors", 5, || read(&Weights::synthetic()));
    for (dtype, decoder) in [(Dtype::F32, 208 << 20), (Dtype::F16, 104 << 20)] {
        let folder = Folder::new();
        let mut model = tensors(&BASE, dtype);
        // As long as a whole checkpoint.
        let rest = Tensor { dtype: Dtype::U8, shape: vec![decoder], bytes: vec![1; decoder] };
        model.insert("model.decoder.everything".to_owned(), rest);
        let bytes = file_of(&model);
        println!("file of {dtype}, {} MB", bytes.len() / 1_000_000);
        let path = folder.write("model.safetensors", &bytes);
        folder.write("config.json", config(&BASE).to_string());
        drop((bytes, model));
        let mut options = Options::new();
        options.cache(folder.path().join("cache"));
        let mut forgetful = Options::new();
        forgetful.cache(&path); // A file, so that nothing can be kept in it.
        let open_with = |options: &Options| {
            let weights = options.open(folder.path()).unwrap();
            weights.check(&BASE).unwrap();
            weights
        };
        let open = || open_with(&options);
        if drop_from_page_cache(&path) {
            best("  open and check, not in the page cache", 1, open);
        }
        let weights = best("  open and check", 20, open);
        if drop_from_page_cache(&path) {
            best("  all encoder tensors, not in the page cache", 1, || read(&weights));
        }
        best("  all encoder tensors, checked for NaN", 5, || read(&weights));
        if drop_from_page_cache(&path) {
            let hash = || open_with(&forgetful).content_hash().unwrap();
            best("  content hash, not in the page cache", 1, hash);
        }
        best("  content hash, computed", 5, || open_with(&forgetful).content_hash().unwrap());
        let hour = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&path).unwrap().set_modified(hour).unwrap();
        open().content_hash().unwrap();
        best("  open, check, content hash from the memo", 20, || open().content_hash().unwrap());
        let cache = open().pack_cache().unwrap();
        let packed: Vec<u8> = (0..20_000_000u32).map(|i| (i * 7) as u8).collect();
        best("  keep 20 MB of packed weights", 3, || cache.put("packed", &packed).unwrap());
        best("  get them, verified", 20, || cache.get("packed").unwrap()[0]);
        best("  open, check, hash, get: a warm start", 20, || {
            let weights = open();
            weights.pack_cache().unwrap().get("packed").unwrap()[0]
        });
    }
}

/// Whether the system could be asked to.
fn drop_from_page_cache(path: &std::path::Path) -> bool {
    let sync = std::process::Command::new("sync").arg(path).status();
    let drop = std::process::Command::new("dd")
        .arg(format!("of={}", path.display()))
        .args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"])
        .status();
    [sync, drop].into_iter().all(|status| status.is_ok_and(|status| status.success()))
}
