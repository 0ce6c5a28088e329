//! One connection in a test, event by event.

use super::host::{Half, Host, Stream};
use super::{MadeCall, Reply};
use crate::TcpFilter;
use crate::course::Verdict;
use crate::tcp::TcpCourse;

/// A connection on its way through a filter.
#[derive(Debug)]
pub struct Connection<'plugin, F: TcpFilter<Host>> {
    filter: &'plugin F,
    host: &'plugin Host,
    index: usize,
    course: TcpCourse<F::State>,
}

impl<'plugin, F: TcpFilter<Host>> Connection<'plugin, F> {
    pub(super) fn new(filter: &'plugin F, host: &'plugin Host) -> Self {
        let index = host.open();
        host.enter(index);
        let mut course = TcpCourse::default();
        course.on_connected(filter, host);
        Self { filter, host, index, course }
    }

    /// Bytes come from the client; gives whether they went on.
    pub fn client_sends(&mut self, bytes: impl AsRef<[u8]>, is_last: bool) -> bool {
        let size = self.take_in(bytes.as_ref(), |stream| &mut stream.request);
        let verdict = self.course.on_client_data(self.filter, self.host, size, is_last);
        self.conclude(verdict, |stream| &mut stream.request)
    }

    /// Bytes come from the server; gives whether they went on.
    pub fn server_sends(&mut self, bytes: impl AsRef<[u8]>, is_last: bool) -> bool {
        let size = self.take_in(bytes.as_ref(), |stream| &mut stream.response);
        let verdict = self.course.on_server_data(self.filter, self.host, size, is_last);
        self.conclude(verdict, |stream| &mut stream.response)
    }

    /// A call is answered, or ends without an answer.
    pub fn answer_call(&mut self, call: &MadeCall, reply: Option<Reply>) {
        self.host.enter(self.index);
        let headers = reply.as_ref().map_or(0, |reply| reply.headers.len());
        let body_bytes = reply.as_ref().map_or(0, |reply| reply.body.len());
        *self.host.reply.borrow_mut() = reply;
        self.course.on_call_answer(self.filter, self.host, call.id, headers, body_bytes);
        *self.host.reply.borrow_mut() = None;
    }

    /// The connection is over.
    pub fn finish(&mut self) {
        self.host.enter(self.index);
        self.course.on_end(self.filter, self.host);
    }

    /// The bytes that reached the server.
    #[must_use]
    pub fn upstream(&self) -> Vec<u8> {
        self.host.with(self.index, |stream| stream.request.went_on.body.clone())
    }

    /// The bytes that reached the client.
    #[must_use]
    pub fn downstream(&self) -> Vec<u8> {
        self.host.with(self.index, |stream| stream.response.went_on.body.clone())
    }

    /// Whether the filter closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.host.with(self.index, |stream| stream.is_closed)
    }

    fn take_in(&self, bytes: &[u8], half: impl FnOnce(&mut Stream) -> &mut Half) -> usize {
        self.host.enter(self.index);
        self.host.with(self.index, |stream| {
            let half = half(stream);
            half.held.extend_from_slice(bytes);
            half.held.len()
        })
    }

    fn conclude(&self, verdict: Verdict, half: impl FnOnce(&mut Stream) -> &mut Half) -> bool {
        let goes_on = verdict == Verdict::Continue;
        if goes_on {
            self.host.with(self.index, |stream| half(stream).release());
        }
        goes_on
    }
}
