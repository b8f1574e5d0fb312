//! Waits for conditions.

use std::time::{Duration, Instant};

/// How long anything that a test waits for may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How often a condition without a notification is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `look` says `Ok`; the last `Err` tells what was missing.
pub(crate) async fn until<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    let end = Instant::now() + limit;
    loop {
        match look().await {
            Ok(value) => return Ok(value),
            Err(missing) if Instant::now() > end => {
                return Err(format!("{what} not within {limit:?}: {missing}"));
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}

/// Waits for a notification, but no longer than [`PATIENCE`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .map_err(|_| format!("{what} not within {PATIENCE:?}"))
}
