// WeirEngine
