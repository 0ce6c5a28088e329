//! What is added to a module, and which number each of it has.
//!
//! Behind the module's own functions: a shim for each imported function, then the functions of the budget, then a
//! wrapper for each export that the host calls.

use crate::outline::{Export, ExternKind, Outline};
use chancery_sdk_abi::{Function, guest_exports};

/// The numbers of what is added.
#[derive(Clone, Debug)]
pub(crate) struct Additions {
    /// The type `() -> ()`; the next one is `(i32) -> ()`.
    pub(crate) plain_type: u32,
    pub(crate) length_type: u32,
    /// The shim of the first import.
    shims: u32,
    imported: u32,
    /// Ends the callback.
    pub(crate) out_of_budget: u32,
    /// Ends the callback, too.
    pub(crate) bad_allocation: u32,
    /// Pays for so many bytes.
    pub(crate) pay_bytes: u32,
    wrappers: u32,
    /// What is left of the budget.
    pub(crate) left: u32,
    /// Whether a callback is running.
    pub(crate) running: u32,
    /// Whether a stream is over for the running callback: it was closed or answered in it, or before it.
    pub(crate) over: u32,
    /// Whether the running callback comes before the answer of its stream.
    pub(crate) early: u32,
    /// The exports that get a wrapper.
    pub(crate) wrapped: Vec<Wrapped>,
}

/// An export that the host calls.
#[derive(Clone, Debug)]
pub(crate) struct Wrapped {
    pub(crate) name: String,
    pub(crate) contract: Function,
    /// The module's function, by its number in the new module.
    pub(crate) function: u32,
    pub(crate) type_index: u32,
}

impl Wrapped {
    /// Whether the host calls it for memory, in the middle of a host call.
    pub(crate) fn is_allocator(&self) -> bool {
        [guest_exports::MALLOC, guest_exports::ON_MEMORY_ALLOCATE].contains(&self.contract)
    }

    /// Whether its stream is over when it is called.
    pub(crate) fn is_after_its_stream(&self) -> bool {
        [guest_exports::ON_DONE, guest_exports::ON_LOG, guest_exports::ON_DELETE].contains(&self.contract)
    }

    /// Whether its stream has no answer yet when it is called.
    pub(crate) fn is_before_the_answer(&self) -> bool {
        const EARLY: [Function; 5] = [
            guest_exports::ON_CONTEXT_CREATE,
            guest_exports::ON_REQUEST_HEADERS,
            guest_exports::ON_REQUEST_BODY,
            guest_exports::ON_REQUEST_TRAILERS,
            guest_exports::ON_REQUEST_METADATA,
        ];
        EARLY.contains(&self.contract)
    }

    /// Whether it is called when the module starts.
    pub(crate) fn is_of_the_start(&self) -> bool {
        const START: [Function; 7] = [
            guest_exports::INITIALIZE,
            guest_exports::MAIN,
            guest_exports::MAIN_VOID,
            guest_exports::START,
            guest_exports::ON_VM_START,
            guest_exports::VALIDATE_CONFIGURATION,
            guest_exports::ON_CONFIGURE,
        ];
        START.contains(&self.contract)
    }
}

impl Additions {
    /// Gives out the numbers.
    pub(crate) fn plan(outline: &Outline) -> Self {
        let plain_type = count(outline.types.len());
        let shims = count(outline.functions.len());
        let imported = outline.imported_functions;
        let budget = shims.saturating_add(imported);
        let left = outline.globals;
        let mut additions = Self {
            plain_type,
            length_type: plain_type.saturating_add(1),
            shims,
            imported,
            out_of_budget: budget,
            bad_allocation: budget.saturating_add(1),
            pay_bytes: budget.saturating_add(2),
            wrappers: budget.saturating_add(3),
            left,
            running: left.saturating_add(1),
            over: left.saturating_add(2),
            early: left.saturating_add(3),
            wrapped: Vec::new(),
        };
        additions.wrapped =
            outline.exports.iter().filter_map(|export| additions.wrapped(outline, export)).collect();
        additions
    }

    /// The number of a function of the module in the new one: an import is called through its shim.
    pub(crate) fn function(&self, function: u32) -> u32 {
        if function < self.imported { self.shims.saturating_add(function) } else { function }
    }

    /// The wrapper of an export, by its place among those that get one.
    pub(crate) fn wrapper(&self, name: &str) -> Option<u32> {
        let at = self.wrapped.iter().position(|wrapped| wrapped.name == name)?;
        Some(self.wrappers.saturating_add(count(at)))
    }

    /// Names for the new functions, in the order of their numbers: a trap is shown with them.
    pub(crate) fn names(&self, outline: &Outline) -> Vec<(u32, String)> {
        let imports = outline.imports.iter().filter(|import| import.kind == ExternKind::Function);
        let shims = imports
            .enumerate()
            .map(|(at, import)| (self.shims.saturating_add(count(at)), format!("to_host:{}", import.name)));
        let budget = [
            (self.out_of_budget, "the_callback_used_up_its_budget"),
            (self.bad_allocation, "the_allocator_gave_no_memory"),
            (self.pay_bytes, "pay_bytes"),
        ];
        let wrappers = self.wrapped.iter().enumerate().map(|(at, wrapped)| {
            (self.wrappers.saturating_add(count(at)), format!("from_host:{}", wrapped.name))
        });
        shims.chain(budget.map(|(at, name)| (at, name.to_owned()))).chain(wrappers).collect()
    }

    fn wrapped(&self, outline: &Outline, export: &Export) -> Option<Wrapped> {
        let contract = guest_exports::find(&export.name)?;
        let type_index = *outline.functions.get(export.index as usize)?;
        let is_function = export.kind == ExternKind::Function;
        let function = self.function(export.index);
        // One that has another type is none that a host calls, and is left as it is.
        let fits = outline.function_type(export.index).is_some_and(|ty| {
            ty.params().len() == contract.signature.params.len()
                && ty.results().len() == contract.signature.results.len()
                && ty.params().iter().chain(ty.results()).all(|ty| *ty == wasmparser::ValType::I32)
        });
        let name = export.name.clone();
        (is_function && fits).then_some(Wrapped { name, contract, function, type_index })
    }
}

/// A number of things as an index; limits keep it far below what has none.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
