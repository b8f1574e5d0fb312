//! What cannot be started leaves nothing.

use testbed::docker::{self, LABEL};
use testbed::nfs::container::{ContainerError, ContainerExport, ContainerExportOptions};

use crate::bed::Bed;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_said_before_anything_is_made() {
    let Some(bed) = Bed::make("noimage").await else {
        return;
    };
    let error = ContainerExport::start(&ContainerExportOptions {
        image: "claimcheck/nothing:1".to_owned(),
        ..bed.options.clone()
    })
    .await
    .unwrap_err();
    assert!(matches!(error, ContainerError::Image { .. }), "{error}");
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_outside_of_the_network_leaves_no_container() {
    let Some(bed) = Bed::make("noaddress").await else {
        return;
    };
    let error = ContainerExport::start(&ContainerExportOptions {
        address: [203, 0, 113, 1].into(),
        ..bed.options.clone()
    })
    .await
    .unwrap_err();
    assert!(matches!(error, ContainerError::Docker { .. }), "{error}");
    // Its log was kept for whoever asks why.
    assert!(bed.options.log.exists());
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_owner_left_is_replaced_and_a_strangers_container_is_not() {
    let Some(bed) = Bed::make("leftover").await else {
        return;
    };
    let create = async |label: &str| {
        let label = format!("{LABEL}={label}");
        docker::run(&[
            "create",
            "--name",
            &bed.options.container,
            "--label",
            &label,
            &bed.options.image,
        ])
        .await
        .expect("made");
    };
    create("/somewhere/else").await;
    let error = ContainerExport::start(&bed.options).await.unwrap_err();
    assert!(matches!(error, ContainerError::Taken { .. }), "{error}");
    docker::run(&["rm", &bed.options.container])
        .await
        .expect("the stranger's container is still there");

    create(bed.options.testbed.as_str()).await;
    let export = bed.start().await;
    export.stop().await.expect("stopped");
    bed.end().await;
}
