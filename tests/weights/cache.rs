//! Packed weights on disk, and remembered hashes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use safetensors::Dtype;
use serde_json::json;
use tilewright::weights::{ContentHash, Options, PackCache, Packed, Weights};

use crate::checkpoint::{Folder, MINI, file_of, tensors};

const KEY: &str = "ffn_up, i8, layer 0";

fn cache(folder: &Folder) -> PackCache {
    PackCache::new(vec![folder.path().join("cache")], ContentHash::of(b"weights"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn is_aligned(packed: &Packed) -> bool {
    packed.as_ptr().align_offset(64) == 0
}

/// The only entry.
fn entry(folder: &Folder) -> PathBuf {
    let files = files(folder.path());
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn make(payload: &[u8]) -> impl FnOnce() -> io::Result<Vec<u8>> {
    let payload = payload.to_vec();
    move || Ok(payload)
}

#[test]
fn what_is_kept_is_found_again_aligned_and_mapped() {
    let folder = Folder::new();
    let cache = cache(&folder);
    for length in [0, 1, 63, 64, 65, 300_000] {
        for key in ["", "k", KEY, &"long ".repeat(100)] {
            let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            assert!(cache.get(&format!("{key} {length}")).is_none());
            cache.put(&format!("{key} {length}"), &payload).unwrap();
            let packed = cache.get(&format!("{key} {length}")).unwrap();
            assert_eq!(packed[..], payload);
            assert!(packed.is_mapped() && is_aligned(&packed));
        }
    }
    let other = PackCache::new(cache.folders().to_vec(), ContentHash::of(b"other weights"));
    assert!(other.get(KEY).is_none());
}

#[test]
fn a_payload_can_be_written_in_parts() {
    let folder = Folder::new();
    let cache = cache(&folder);
    let parts: Vec<Vec<u8>> = (0..5).map(|i| vec![i; 70_000 * usize::from(i)]).collect();
    cache.put_with(KEY, |to| parts.iter().try_for_each(|part| to.write_all(part))).unwrap();
    assert_eq!(cache.get(KEY).unwrap()[..], parts.concat());
}

#[test]
fn damage_is_noticed_and_repaired() {
    let folder = Folder::new();
    let cache = cache(&folder);
    cache.put(KEY, b"payload").unwrap();
    let path = entry(&folder);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        assert!(cache.get(KEY).is_none(), "byte {at}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(cache.get(KEY).is_none(), "{length} bytes");
    }
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(cache.get(KEY).is_none());
    fs::write(&path, "something else").unwrap();
    assert_eq!(cache.get_or_make(KEY, make(b"payload")).unwrap()[..], *b"payload");
    assert_eq!(fs::read(&path).unwrap(), whole);
    let kept = cache.get_or_make(KEY, || Err::<Vec<u8>, _>("is not made again"));
    assert_eq!(kept.unwrap()[..], *b"payload");
}

#[test]
fn an_entry_of_another_key_or_other_weights_is_not_taken_for_this() {
    let folder = Folder::new();
    let cache = cache(&folder);
    cache.put(KEY, b"payload").unwrap();
    let path = entry(&folder);
    cache.put("another", b"another").unwrap();
    let another = files(folder.path()).into_iter().find(|file| *file != path).unwrap();
    fs::copy(&another, &path).unwrap();
    assert!(cache.get(KEY).is_none());
    assert!(cache.get("another").is_some());
}

#[test]
fn where_nothing_can_be_written_nothing_fails() {
    let folder = Folder::new();
    let blocked = folder.write("file", "");
    let cache = PackCache::new(vec![blocked.join("cache")], ContentHash::of(b"weights"));
    assert!(cache.put(KEY, b"payload").is_err());
    for folders in [vec![blocked], vec![]] {
        let cache = PackCache::new(folders, ContentHash::of(b"weights"));
        let packed = cache.get_or_make(KEY, make(b"payload")).unwrap();
        assert_eq!(packed[..], *b"payload");
        assert!(!packed.is_mapped() && is_aligned(&packed));
    }
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let folder = Folder::new();
    let cache = cache(&folder);
    cache.put(KEY, b"payload").unwrap();
    let failed = cache.put_with(KEY, |to| {
        to.write_all(&[0; 100_000])?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(cache.get(KEY).unwrap()[..], *b"payload");
    entry(&folder);
}

#[test]
fn the_second_folder_serves_where_the_first_cannot() {
    let folder = Folder::new();
    let blocked = folder.write("file", "");
    let second = folder.path().join("second");
    let content = ContentHash::of(b"weights");
    let cache = PackCache::new(vec![blocked, second.clone()], content);
    cache.put(KEY, b"payload").unwrap();
    assert_eq!(files(&second).len(), 1);
    assert!(cache.get(KEY).is_some());
    // One that came with read-only weights, say in an image, is found after an empty first.
    let cache = PackCache::new(vec![folder.path().join("first"), second], content);
    assert!(cache.get(KEY).is_some());
}

#[test]
fn writers_and_readers_do_not_meet() {
    let folder = Folder::new();
    let cache = cache(&folder);
    cache.put(KEY, &[0; 10_000]).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let cache = &cache;
            scope.spawn(move || (0..50).for_each(|_| cache.put(KEY, &[writer; 10_000]).unwrap()));
        }
        for _ in 0..200 {
            let packed = cache.get(KEY).expect("an entry is always there, whole");
            assert!(packed.iter().all(|byte| *byte == packed[0]));
        }
    });
    entry(&folder);
}

fn options(folder: &Folder) -> Options {
    let mut options = Options::new();
    options.cache(folder.path().join("cache"));
    options
}

/// As if it had been written an hour ago.
fn age(path: &Path) {
    let time = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn the_content_hash_is_that_of_the_file() {
    let folder = Folder::new();
    let bytes = file_of(&tensors(&MINI, Dtype::F32));
    let file = folder.write("model.safetensors", &bytes);
    let expected = blake3::hash(&bytes).to_hex().to_string();
    let hash = |weights: Weights| weights.content_hash().unwrap().to_string();
    assert_eq!(hash(options(&folder).open(&file).unwrap()), expected);
    assert_eq!(hash(options(&folder).open(folder.path()).unwrap()), expected);
    assert_eq!(hash(Weights::from_bytes("memory", bytes).unwrap()), expected);
    let synthetic = hash(Weights::synthetic());
    assert_eq!(synthetic, hash(options(&folder).synthetic()));
    assert_ne!(synthetic, expected);
}

#[test]
fn a_hash_is_remembered_until_the_file_changes() {
    let folder = Folder::new();
    let mut bytes = file_of(&tensors(&MINI, Dtype::F32));
    let file = folder.write("model.safetensors", &bytes);
    let hash = || options(&folder).open(&file).unwrap().content_hash().unwrap();
    let memos = folder.path().join("cache/hashes");
    // On a busy machine the moment may be over before there is a hash.
    let first = loop {
        let begun = Instant::now();
        fs::write(&file, &bytes).unwrap();
        let first = hash();
        if begun.elapsed() < Duration::from_secs(1) {
            break first;
        }
        let _ = fs::remove_dir_all(&memos);
    };
    assert!(files(&memos).is_empty(), "a file of this moment may change unseen");

    age(&file);
    assert_eq!(hash(), first);
    let memo = files(&memos).pop().expect("is remembered");
    // That it is used shows when it is wrong.
    let text = fs::read_to_string(&memo).unwrap();
    let wrong = ContentHash::of(b"wrong");
    fs::write(&memo, text.replace(&first.to_string(), &wrong.to_string())).unwrap();
    assert_eq!(hash(), wrong);

    fs::write(&memo, "damaged").unwrap();
    assert_eq!(hash(), first);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, &bytes).unwrap();
    age(&file);
    assert_eq!(hash(), ContentHash::of(&bytes));
}

#[test]
fn a_file_that_changes_under_us_is_not_hashed() {
    let folder = Folder::new();
    let bytes = file_of(&tensors(&MINI, Dtype::F32));
    let file = folder.write("model.safetensors", &bytes);
    let weights = options(&folder).open(&file).unwrap();
    folder.write("other", &bytes);
    fs::rename(folder.path().join("other"), &file).unwrap();
    age(&file);
    let error = folder.message(weights.content_hash().unwrap_err());
    assert!(error.contains("changed while it was in use"), "{error}");
}

#[test]
fn shards_have_a_hash_of_all_of_them() {
    let folder = Folder::new();
    let whole = tensors(&MINI, Dtype::F32);
    let index = |second: &str| {
        let name = |i: usize| if i.is_multiple_of(2) { "a.safetensors" } else { second };
        let map: serde_json::Map<_, _> =
            whole.keys().enumerate().map(|(i, tensor)| (tensor.clone(), json!(name(i)))).collect();
        folder.write("model.safetensors.index.json", json!({"weight_map": map}).to_string());
    };
    let part = |odd: usize| {
        let part = whole.iter().skip(odd).step_by(2);
        file_of(&part.map(|(name, tensor)| (name.clone(), tensor.clone())).collect())
    };
    folder.write("a.safetensors", part(0));
    folder.write("b.safetensors", part(1));
    let hash = || options(&folder).open(folder.path()).unwrap().content_hash().unwrap();
    index("b.safetensors");
    let first = hash();
    let mut changed = part(1);
    *changed.last_mut().unwrap() ^= 1;
    folder.write("c.safetensors", changed);
    index("c.safetensors");
    assert_ne!(first, hash());
}

#[test]
fn the_cache_of_weights_lies_where_it_was_told_to() {
    let folder = Folder::new();
    let file = folder.write("model.safetensors", file_of(&tensors(&MINI, Dtype::F32)));
    let cache = options(&folder).open(&file).unwrap().pack_cache().unwrap();
    cache.put(KEY, b"payload").unwrap();
    assert_eq!(files(&folder.path().join("cache")).len(), 1);
}

/// Without a word the first place is beside the weights.
#[test]
fn the_cache_lies_beside_the_weights() {
    if std::env::var_os("TILEWRIGHT_CACHE_DIR").is_some() {
        return;
    }
    let folder = Folder::new();
    let file = folder.write("model.safetensors", file_of(&tensors(&MINI, Dtype::F32)));
    for spec in [&*file, folder.path()] {
        let cache = Weights::open(spec).unwrap().pack_cache().unwrap();
        assert_eq!(cache.folders()[0], folder.path().join(".tilewright"));
    }
}
