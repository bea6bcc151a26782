//! The engine on CTranslate2.

pub mod ct2;
