//! Choosing a diary by its name: create, open, or whichever fits.

use std::marker::PhantomData;

use weald_core::{CollectionName, CollectionPolicy, CreateMode, Retention};

use crate::{Diary, RawDiary, Result, Weald};

/// Settings of a new diary; an existing diary keeps its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiaryOptions {
    /// How many entries are kept. Default: all of them.
    pub retention: Retention,
}

impl DiaryOptions {
    pub(crate) fn policy(&self) -> CollectionPolicy {
        CollectionPolicy { retention: self.retention }
    }
}

/// Names a diary whose entries are bytes.
#[derive(Clone, Debug)]
pub struct RawDiarySelector {
    node: Weald,
    name: String,
    options: DiaryOptions,
}

impl RawDiarySelector {
    pub(crate) fn new(node: &Weald, name: &str) -> Self {
        Self { node: node.clone(), name: name.to_owned(), options: DiaryOptions::default() }
    }

    /// Settings for the case that the diary is made.
    #[must_use]
    pub fn options(mut self, options: DiaryOptions) -> Self {
        self.options = options;
        self
    }

    /// Makes the diary.
    ///
    /// # Errors
    /// `AlreadyExists` when there is a collection of this name.
    pub async fn create(self) -> Result<RawDiary> {
        self.make(CreateMode::Create).await
    }

    /// Opens the diary.
    ///
    /// # Errors
    /// `NotFound` when it was proved that there is none; `Invalid` when it is of another type. What
    /// cannot be read is an error, never an empty diary.
    pub async fn open(self) -> Result<RawDiary> {
        let name = self.node.checked_name(&self.name)?;
        RawDiary::open(&self.node, name).await
    }

    /// Opens the diary, or makes it. Callers who do this at once end with one diary.
    ///
    /// # Errors
    /// `Invalid` when the collection is of another type.
    pub async fn open_or_create(self) -> Result<RawDiary> {
        self.make(CreateMode::OpenOrCreate).await
    }

    async fn make(self, mode: CreateMode) -> Result<RawDiary> {
        let name: CollectionName = self.node.checked_name(&self.name)?;
        RawDiary::create(&self.node, name, mode, &self.options).await
    }
}

/// Names a diary with entries `E`.
#[derive(Debug)]
pub struct DiarySelector<E> {
    raw: RawDiarySelector,
    types: PhantomData<fn() -> E>,
}

impl<E> DiarySelector<E> {
    pub(crate) fn new(node: &Weald, name: &str) -> Self {
        Self { raw: RawDiarySelector::new(node, name), types: PhantomData }
    }

    /// Settings for the case that the diary is made.
    #[must_use]
    pub fn options(mut self, options: DiaryOptions) -> Self {
        self.raw = self.raw.options(options);
        self
    }

    /// Makes the diary.
    ///
    /// # Errors
    /// `AlreadyExists` when there is a collection of this name.
    pub async fn create(self) -> Result<Diary<E>> {
        self.raw.create().await.map(Diary::new)
    }

    /// Opens the diary.
    ///
    /// # Errors
    /// `NotFound` when it was proved that there is none; `Invalid` when it is of another type.
    pub async fn open(self) -> Result<Diary<E>> {
        self.raw.open().await.map(Diary::new)
    }

    /// Opens the diary, or makes it. Callers who do this at once end with one diary.
    ///
    /// # Errors
    /// `Invalid` when the collection is of another type.
    pub async fn open_or_create(self) -> Result<Diary<E>> {
        self.raw.open_or_create().await.map(Diary::new)
    }
}
