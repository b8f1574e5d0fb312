//! Directories of any size, while they change.

use std::collections::BTreeMap;
use std::fs;

use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::Pack;

use crate::support::{Export, some};

const MANY: usize = 10_000;

fn fill(export: &Export) {
    for index in 0..MANY {
        fs::write(export.local(&format!("entry-{index:05}")), "").expect("a file");
    }
}

#[tokio::test]
async fn ten_thousand_entries_while_half_of_them_go() {
    let export = Export::start().await;
    fill(&export);
    let mut client = export.root().await;
    let mut remover = export.root().await;
    let top = client.top.clone();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut cookie, mut verifier, mut pages) = (0, cookieverf3::default(), 0);
    loop {
        let page = client
            .readdir(&top, cookie, verifier, 16 * 1024)
            .await
            .expect("a page");
        verifier = page.cookieverf;
        pages += 1;
        for entry in page.reply.entries.into_inner() {
            assert!(entry.cookie > cookie);
            cookie = entry.cookie;
            let name = String::from_utf8(entry.name.0.into_owned()).unwrap();
            *seen.entry(name).or_default() += 1;
        }
        if page.reply.eof {
            break;
        }
        // Odd entries go and new ones come between the pages, over the protocol and behind it.
        for index in (0..100).map(|offset| pages * 100 + offset) {
            if index < MANY && index % 2 == 1 {
                let name = format!("entry-{index:05}");
                if index % 4 == 1 {
                    remover.remove(&top, &name).await.expect("removed");
                } else {
                    fs::remove_file(export.local(&name)).unwrap();
                }
            }
        }
        fs::write(export.local(&format!("new-{pages}")), "").unwrap();
    }
    assert!(pages > 10, "{pages} pages");
    assert!(seen.values().all(|times| *times == 1));
    for index in (0..MANY).step_by(2) {
        assert!(seen.contains_key(&format!("entry-{index:05}")), "{index}");
    }
}

#[tokio::test]
async fn attributes_and_handles_of_ten_thousand_entries() {
    let export = Export::start().await;
    fill(&export);
    let mut client = export.root().await;
    let top = client.top.clone();
    let (mut cookie, mut verifier) = (0, cookieverf3::default());
    let mut handles = Vec::new();
    loop {
        let page = client
            .readdirplus(&top, cookie, verifier, 64 * 1024)
            .await
            .expect("a page");
        verifier = page.cookieverf;
        for entry in page.reply.entries.into_inner() {
            cookie = entry.cookie;
            let attributes = some(entry.name_attributes).expect("attributes");
            assert_eq!(attributes.fileid, entry.fileid);
            let handle = some(entry.name_handle).expect("a handle");
            if entry.name.as_ref().starts_with(b"entry-") {
                handles.push((handle, entry.fileid));
            }
        }
        if page.reply.eof {
            break;
        }
    }
    assert_eq!(handles.len(), MANY);
    // The first ones lost their descriptors long ago, and are still the same objects.
    for (handle, fileid) in handles.iter().take(50).chain(handles.iter().rev().take(50)) {
        assert_eq!(
            client.getattr(handle).await.expect("attributes").fileid,
            *fileid
        );
    }
}

#[tokio::test]
async fn dots_come_first_and_lead_where_they_should() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let dir = client.mkdir(&top, "d", 0o755).await.unwrap();
    let page = client
        .readdirplus(&dir, 0, cookieverf3::default(), 8192)
        .await
        .expect("a page");
    let entries = page.reply.entries.into_inner();
    let names: Vec<&[u8]> = entries.iter().map(|entry| entry.name.as_ref()).collect();
    assert_eq!(names, [&b"."[..], b".."]);
    assert_eq!(entries[0].name_handle, Nfs3Option::Some(dir));
    assert_eq!(entries[1].name_handle, Nfs3Option::Some(top));
    assert!(page.reply.eof);
}

#[tokio::test]
async fn pages_have_the_size_that_was_asked_for() {
    let export = Export::start().await;
    for index in 0..200 {
        fs::write(export.local(&format!("entry-{index}")), "").unwrap();
    }
    let mut client = export.root().await;
    let top = client.top.clone();
    let page = client
        .readdir(&top, 0, cookieverf3::default(), 1024)
        .await
        .expect("a page");
    assert!(!page.reply.eof && page.packed_size() + 4 <= 1024);
    assert!(page.packed_size() > 900);
    assert_eq!(
        client
            .readdir(&top, 0, cookieverf3::default(), 64)
            .await
            .err(),
        Some(nfsstat3::NFS3ERR_TOOSMALL)
    );
}

#[tokio::test]
async fn cookies_of_another_server_are_refused() {
    let export = Export::start().await;
    fs::write(export.local("a"), "").unwrap();
    let mut client = export.root().await;
    let top = client.top.clone();
    let wrong = cookieverf3(*b"whatever");
    assert_eq!(
        client.readdir(&top, 5, wrong, 8192).await.err(),
        Some(nfsstat3::NFS3ERR_BAD_COOKIE)
    );
    let file = client.lookup(&top, "a").await.unwrap();
    assert_eq!(
        client
            .readdir(&file, 0, cookieverf3::default(), 8192)
            .await
            .err(),
        Some(nfsstat3::NFS3ERR_NOTDIR)
    );
}
