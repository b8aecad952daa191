//! Feeds of reports about queries, as documented in `_core.pyi`.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use super::{Core, networks};
use crate::net::listen::random;
use crate::tap::dnstap::Target;
use crate::tap::feed::Writer;
use crate::tap::filter::Filter;
use crate::tap::{Tap, dnstap, feed, query_log};

/// A consumer of reports.
#[pyclass(frozen)]
pub struct Feed {
    pub writer: Writer,
}

#[pymethods]
impl Feed {
    #[staticmethod]
    fn query_log(
        core: &Core, descriptor: RawFd, sample: f64, names: Vec<PyBackedBytes>,
        clients: Vec<String>, rcodes: Vec<u16>,
    ) -> PyResult<Feed> {
        // SAFETY: the caller gives the descriptor away.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        let filter = filter(sample, &names, &clients, &rcodes)?;
        let feed = feed::Feed::new(filter, false, core.shared.tap.query_log.clone());
        started(query_log::start(feed, file))
    }

    #[staticmethod]
    #[allow(clippy::too_many_arguments)]
    fn dnstap(
        core: &Core, path: PathBuf, queries: bool, identity: String, version: String, sample: f64,
        names: Vec<PyBackedBytes>, clients: Vec<String>, rcodes: Vec<u16>,
    ) -> PyResult<Feed> {
        let filter = filter(sample, &names, &clients, &rcodes)?;
        let feed = feed::Feed::new(filter, true, core.shared.tap.dnstap.clone());
        let (identity, version) = (identity.into_bytes(), version.into_bytes());
        started(dnstap::start(feed, Target { path, queries, identity, version }, random()?))
    }

    fn problem(&self) -> Option<String> {
        self.writer.feed.problem()
    }

    fn close(&self, py: Python<'_>, wait: f64) {
        py.detach(|| self.writer.close(Duration::try_from_secs_f64(wait).unwrap_or_default()));
    }
}

fn filter(
    sample: f64, names: &[PyBackedBytes], clients: &[String], rcodes: &[u16],
) -> PyResult<Filter> {
    let names = names.iter().map(|name| name.to_vec()).collect();
    Ok(Filter::new(sample, names, networks("clients", clients)?, rcodes))
}

fn started(writer: std::io::Result<Writer>) -> PyResult<Feed> {
    let writer = writer.map_err(|error| PyOSError::new_err(error.to_string()))?;
    Ok(Feed { writer })
}

/// Returns the totals of all kinds of feeds by name.
pub fn totals(tap: &Tap) -> HashMap<&'static str, u64> {
    let (log, dnstap) = (&tap.query_log, &tap.dnstap);
    [
        ("dnstap_sent", dnstap.written.load(Relaxed)),
        ("dnstap_dropped", dnstap.dropped.load(Relaxed)),
        ("query_log_written", log.written.load(Relaxed)),
        ("query_log_dropped", log.dropped.load(Relaxed)),
    ]
    .into()
}
