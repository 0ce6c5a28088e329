//! Metrics.

use crate::abi::{MetricType, Status};
use crate::guest::{Answer, Guest};

pub(super) fn define(guest: &mut Guest<'_>, metric_type: i32, name: i32, length: i32, to: i32) -> Answer {
    let metric_type = MetricType::from_number(metric_type).ok_or(Status::BadArgument)?;
    let name = guest.read(name, length)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let id = guest.state().metrics.define(metric_type, name)?;
    guest.write_u32(to, id)
}

pub(super) fn increment(guest: &mut Guest<'_>, id: i32, difference: i64) -> Answer {
    guest.state().metrics.increment(id.cast_unsigned(), difference).map_err(Into::into)
}

pub(super) fn record(guest: &mut Guest<'_>, id: i32, value: i64) -> Answer {
    guest.state().metrics.record(id.cast_unsigned(), value.cast_unsigned()).map_err(Into::into)
}

pub(super) fn get(guest: &mut Guest<'_>, id: i32, to: i32) -> Answer {
    let value = guest.state().metrics.get(id.cast_unsigned())?;
    guest.write_u64(to, value)
}
